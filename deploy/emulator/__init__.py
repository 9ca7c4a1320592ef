"""An emulator of a Franka arm's control interface with MuJoCo physics: `python -m deploy.emulator --help`."""
