"""Why a run ended. Each reason has its own exit code."""

import enum


class Ending(enum.Enum):
    """(exit code, meaning). `table` prints all of them in --help."""

    DONE = 0, "every episode was run"
    BUG = 1, "a bug, with its traceback"
    MISTAKE = 2, "a mistake in a flag, a file or a value, described in one sentence; nothing moved"
    POLICY = 10, "the policy was silent for 1 s, gave only actions that can't be sent, or died: the arm was stopped"
    CAMERA = 11, "no fresh frame for 5 s, or the camera died: the arm was stopped"
    REFLEX = 12, "the arm's reflex stopped it, and the allowed recoveries are used up or failed"
    USER_STOP = 13, "the user stop was pressed; a person has to release it, software never does"
    NETWORK = 14, "the connection to the robot was lost, or the process that owned it died"
    LIMITS = 15, "the arm was outside its limits, or a command would have been: never recovered automatically"
    PREFLIGHT = 16, "a check before the first motion failed; nothing moved"
    GRIPPER = 17, "the gripper failed"
    DECLINED = 18, "the operator did not confirm"
    ROBOT = 19, "the arm or its client failed in a way that this program doesn't know: never recovered automatically"
    INTERRUPTED = 130, "Ctrl-C or SIGTERM: the motion was ended cleanly"

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def meaning(self) -> str:
        return self.value[1]


def table() -> str:
    """The exit codes, one on each line."""
    return "\n".join(f"  {e.code:>4}  {e.name.lower():<12} {e.meaning}" for e in Ending)
