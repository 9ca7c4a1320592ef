import pytest

from toto_robot.ground.errors import UserError, expected, unknown


class OtherError(UserError):
    pass


def test_an_unknown_name_gets_the_nearest_one_all_that_exist_and_the_remedy():
    error = unknown("env", "franka_pik", ("franka_pick", "franka_cube"), "Write env=NAME.")
    assert str(error) == (
        "Unknown env 'franka_pik'. Did you mean 'franka_pick'? What exists: franka_cube, franka_pick. Write env=NAME."
    )


def test_without_a_similar_name_there_is_no_hint():
    assert str(unknown("gate", "xyz", ("vanilla",))) == "Unknown gate 'xyz'. What exists: vanilla."
    assert str(unknown("run", "a", ())) == "Unknown run 'a'. What exists: nothing."


def test_an_unexpected_value_is_named_with_what_was_expected():
    assert str(expected("steps", "at least 1", 0)) == "steps: expected at least 1, got 0."
    assert (
        str(expected("steps", "at least 1", 0, "Leave it out.")) == "steps: expected at least 1, got 0. Leave it out."
    )


@pytest.mark.parametrize("make", [unknown, expected])
def test_a_room_may_raise_an_error_of_its_own_type(make):
    assert type(make("a", "b", "c", error=OtherError)) is OtherError
