import pytest

from deploy.robots.base import Address
from deploy.robots.libfranka import COLLISION, thresholds
from toto_robot.errors import UserError


def test_collision_thresholds_are_one_number_for_every_joint_and_axis():
    assert thresholds(Address("127.0.0.1", "fr3", {})) == ([COLLISION] * 7, [COLLISION] * 6)
    assert thresholds(Address("127.0.0.1", "fr3", {"collision": "25"})) == ([25.0] * 7, [25.0] * 6)


@pytest.mark.parametrize("value", ["0", "-3", "1000", "nan", "much"])
def test_a_threshold_that_is_none_is_refused(value):
    with pytest.raises(UserError, match="expected a number from 1 to 100"):
        thresholds(Address("127.0.0.1", "fr3", {"collision": value}))
