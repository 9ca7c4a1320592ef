"""The policies of the policy's process."""

import numpy as np
import pytest

from deploy.processes.policy import ScriptedPolicy
from deploy.teaching.replaying import RecordedActions
from deploy.teaching.teleop_session import Driven
from policies import look


@pytest.mark.parametrize("kind", [ScriptedPolicy, RecordedActions, Driven])
def test_whatever_acts_without_pictures_says_that_they_fit(kind):
    """Preflight asks each of them, and a replay, a person or the scripted expert is never refused because of a look."""
    answer = kind.look_at(object.__new__(kind), np.zeros((2, 8, 8, 3), np.uint8))
    assert (answer.verdict, bool(answer.said)) == (look.IN, True)
