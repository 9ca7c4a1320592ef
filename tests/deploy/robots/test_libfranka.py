import pytest

from deploy.robots.libfranka import COLLISION, contact, thresholds
from toto_robot.ground.errors import UserError


def test_collision_thresholds_are_one_number_for_every_joint_and_axis():
    for options, value in (({}, COLLISION), ({"collision": "25"}, 25.0)):
        torques, forces = [value] * 7, [value] * 6
        assert thresholds(options) == (torques, torques, forces, forces)


@pytest.mark.parametrize("value", ["0", "-3", "1000", "nan", "much"])
def test_a_threshold_that_is_none_is_refused(value):
    with pytest.raises(UserError, match="expected a number from 1 to 100"):
        thresholds({"collision": value})


def test_a_contact_is_the_greatest_share_of_any_threshold():
    torques, wrench = [0.0, 10.0, 0, -12.0, 0, 0, 0], [0, 0, -30.0, 1, 0, 0]
    felt = contact(torques, wrench, thresholds({}))
    assert felt.share == 30 / COLLISION and felt.tau_ext_nm.tolist() == torques
    assert contact(torques, [0.0] * 6, thresholds({"collision": "24"})).share == 0.5
