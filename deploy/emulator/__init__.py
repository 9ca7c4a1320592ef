"""An emulator of a Franka arm's control interface, with MuJoCo behind it: `python -m deploy.emulator --help`."""
