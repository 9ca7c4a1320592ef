"""Tasks by name."""

from envs.tasks.pick import Pick

TASKS = {task.name: task for task in (Pick,)}
