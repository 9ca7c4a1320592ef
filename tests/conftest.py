"""For every test: `envs` is imported before anything imports mujoco, so that it chooses the GL of a machine without a display."""

import envs  # noqa: F401
