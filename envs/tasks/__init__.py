"""Tasks by name."""

from envs.tasks.cabinet import Cabinet
from envs.tasks.move import Move
from envs.tasks.pick import CubePick, Pick
from envs.tasks.pick_clutter import PickClutter
from envs.tasks.pick_hidden import PickHidden
from envs.tasks.reach import Reach

TASKS = {task.name: task for task in (Reach, Cabinet, Pick, Move, CubePick, PickClutter, PickHidden)}
