"""Tasks by name."""

from envs.tasks.pick import CubePick, Pick

TASKS = {task.name: task for task in (Pick, CubePick)}
