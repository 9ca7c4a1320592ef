"""The real arm: a robot protocol with its backends, cameras, safety, the control loop, and an emulator of the arm's
controller (`python -m deploy.emulator`) that the vendor's own clients connect to."""
