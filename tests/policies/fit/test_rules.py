import dataclasses
import typing
from dataclasses import replace

import pytest

import envs
from envs.interface import Interface, Rule
from policies.features.features import EncoderConfig
from policies.fit.conversion import CONVERSIONS
from policies.fit.folder import About
from policies.fit.rules import FitKeys, Tolerance, check, check_same, compare, rules, table
from policies.fit.spec import PolicySpec, spec_of
from policies.network.heads import HeadConfig
from toto_robot.ground.errors import UserError

CUBE = envs.make("franka_cube", render=False).interface
SPEC = spec_of(CUBE, needs="rgb")


def about(spec=SPEC, env="franka_cube", **changes):
    dims = (len(spec.proprio.names), len(spec.action.names)) if spec else (18, 8)
    return About(
        format=2,
        env=env,
        proprio_dim=dims[0],
        action_dim=dims[1],
        binary_actions=(),
        feature_shape=(16, 192),
        encoder=EncoderConfig(),
        encoder_fingerprint="f",
        head=HeadConfig(),
        sha256="s",
        spec=spec,
        **changes,
    )


def fit(spec=SPEC, there=CUBE, **keys):
    return check(about(spec), there, given="P", where="env=X", keys=FitKeys(**keys))


def walk(kind, path=()):
    """Every field of a description, as the path to it; lists of cameras have one."""
    for part in dataclasses.fields(kind):
        inner = typing.get_type_hints(kind)[part.name]
        inner = next((k for k in typing.get_args(inner) if dataclasses.is_dataclass(k)), inner)
        if dataclasses.is_dataclass(inner):
            assert part.metadata.get("inside"), f"{kind.__name__}.{part.name} holds a dataclass: make it inside()"
            yield from walk(inner, (*path, part.name))
        else:
            yield (*path, part.name), part.metadata.get("rule")


OTHER = {
    "names": lambda v: ("other", *v[1:]),
    "units": lambda v: ("furlong", *v[1:]),
    "meanings": lambda v: ("joint_velocity", *v[1:]),
    "low": lambda v: (v[0] * 1.01, *v[1:]),
    "high": lambda v: (v[0] * 1.01, *v[1:]),
    "offset": lambda v: (v[0] + 0.01, *v[1:]),
    "scale": lambda v: (v[0] * 1.01, *v[1:]),
    "clip": lambda v: 5.0,
    "name": lambda v: "side",
    "width": lambda v: v + 8,
    "height": lambda v: v + 8,
    "crop": lambda v: "lower",
    "mount_parent": lambda v: "base",
    "robot": lambda v: "kuka",
    "mount_pos_m": lambda v: (v[0] + 0.02, *v[1:]),
    "mount_quat": lambda v: (0.0998334, *(0.9950042 * x for x in v[1:])),
    "fovy_deg": lambda v: v * 1.1,
    "control_hz": lambda v: 20.0,
    "state_of": lambda v: "franka_pick",
}
"""A field → another value than the robot's; a new field needs one here."""


def changed(spec, path, change):
    head, *rest = path
    value = getattr(spec, head)
    if head == "cameras":
        return replace(spec, cameras=(changed(value[0], rest, change),))
    return replace(spec, **{head: changed(value, rest, change) if rest else change(value)})


def test_every_field_of_a_description_has_a_rule():
    for path, rule in walk(PolicySpec):
        assert isinstance(rule, Rule) and rule.kind in ("refuse", "warn", "ignore") and rule.why, (
            f"{'.'.join(path)} has no rule"
        )
        assert not rule.convert or rule.convert in CONVERSIONS and rule.kind == "refuse"
        assert not rule.tolerance or hasattr(Tolerance(), rule.tolerance) and rule.kind == "warn"
    assert [name for name, _ in rules()] == [".".join(path) for path, _ in walk(PolicySpec)]


def test_a_field_without_a_rule_is_a_failure():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Newer(Interface):
        wings: int = 2

    assert dict(walk(Newer))[("wings",)] is None


@pytest.mark.parametrize(
    "path", [path for path, rule in walk(PolicySpec) if rule and rule.kind == "refuse"], ids=".".join
)
def test_a_difference_in_a_field_that_is_refused_names_both_sides(path):
    spec = changed(SPEC, path, OTHER[path[-1]])
    if path == ("control_hz",):
        spec = replace(SPEC, control_hz=20.0, history=replace(SPEC.history, every_s=0.05))
    with pytest.raises(UserError) as error:
        fit(spec)
    said = str(error.value)
    assert said.startswith("The policy P does not fit env=X: ") and said.count("env=X") >= 2 and "\n" not in said


@pytest.mark.parametrize(
    "path", [path for path, rule in walk(PolicySpec) if rule and rule.kind == "warn"], ids=".".join
)
def test_a_difference_in_a_field_that_is_told_is_told_with_its_number(path):
    told = fit(changed(SPEC, path, OTHER[path[-1]])).warnings
    numbers = {
        "mount_pos_m": "20.0 mm apart, where 10 mm",
        "mount_quat": "11.5 ° apart, where 3 °",
        "fovy_deg": "9.1 % apart, where 5 %",
        "mount_parent": "fixed to base in the policy and to hand in env=X",
    }
    assert len(told) == 1 and numbers[path[-1]] in told[0] and "the policy P on env=X" in told[0]


def test_smaller_differences_of_the_camera_are_none_and_the_tolerance_is_the_users():
    spec = changed(SPEC, ("cameras", "mount_pos_m"), lambda v: (v[0] + 0.009, *v[1:]))
    assert fit(spec).warnings == () and len(fit(spec, tolerance=Tolerance(mount_mm=5)).warnings) == 1
    with pytest.raises(UserError, match="at least 0"):
        Tolerance(mount_deg=-1)


def test_what_a_camera_does_not_tell_is_told_once():
    blind = replace(CUBE, cameras=(replace(CUBE.cameras[0], mount_pos_m=None, mount_quat=None, fovy_deg=None),))
    assert [w.split("does not say")[1] for w in fit(there=blind).warnings] == [
        " the camera wrist's place, direction, field of view, so nothing compares it"
    ]


def test_a_look_is_no_difference():
    for options in ({"shift": "camera"}, {"shift": "all"}, {"appearance": "random"}, {"appearance": "cluttered"}):
        assert fit(there=envs.make("franka_cube", **options).interface).warnings == ()


def test_another_task_of_the_same_robot_and_rate_may_be_tried():
    pick, reach = (envs.make(name, render=False).interface for name in ("franka_pick", "franka_reach"))
    assert list(compare(spec_of(pick, needs="rgb"), reach, "X", Tolerance())) == []
    with pytest.raises(UserError, match="reads the true state of franka_pick and env=X gives that of franka_reach"):
        check(about(spec_of(pick, needs="privileged")), reach, given="P", where="env=X", keys=FitKeys())


def test_two_unknown_numbers_may_be_two_different_ones_but_a_set_is_the_same_as_itself():
    unknown = replace(SPEC, action=replace(SPEC.action, meanings=("unknown",) * 8))
    with pytest.raises(UserError, match="unknown"):
        fit(unknown, replace(CUBE, action=unknown.action))
    assert check_same(unknown, unknown, "run r") == []


def test_a_run_that_goes_on_is_refused_where_its_numbers_changed():
    with pytest.raises(
        UserError,
        match="of run r does not fit what is there now: "
        "it acts at 20 Hz and what is there now at 10 Hz.*start a new run",
    ):
        check_same(replace(SPEC, control_hz=20.0), SPEC, "run r")
    moved = changed(SPEC, ("cameras", "mount_pos_m"), lambda v: (v[0] + 0.02, *v[1:]))
    assert len(check_same(moved, SPEC, "run r")) == 1


# ---------------------------------------------------------------------------------------- folders without a description


def test_an_older_folder_is_completed_from_its_environment_and_what_its_notes_say_counts_more():
    assert check(about(None), CUBE, given="P", where="env=X", keys=FitKeys()).hold == 1
    notes = {"control_hz": 20.0, "action": {"names": [f"action.{i}" for i in range(8)], "low": 0.0, "high": 0.08}}
    with pytest.raises(UserError, match="at 20 Hz and env=X at 10 Hz; the name of action 0 is action.0"):
        check(about(None, notes=notes), CUBE, given="P", where="env=X", keys=FitKeys(force=True))


def test_a_folder_that_nothing_completes_runs_in_simulation_by_force_and_only_where_the_counts_agree():
    unsaid = about(None, env=None)
    with pytest.raises(UserError, match="does not say what they mean.*force=true"):
        check(unsaid, CUBE, given="P", where="env=X", keys=FitKeys())
    assert (
        "does not say what its numbers mean"
        in check(unsaid, CUBE, given="P", where="env=X", keys=FitKeys(force=True)).warnings[0]
    )
    with pytest.raises(UserError, match="18 numbers .* 8 actions, env=X has 18 and 9"):
        check(
            unsaid,
            envs.make("franka_pick_pixmc", render=False).interface,
            given="P",
            where="env=X",
            keys=FitKeys(force=True),
        )


def test_force_does_not_help_a_policy_that_says_that_it_does_not_fit():
    with pytest.raises(UserError, match="furlong"):
        fit(changed(SPEC, ("action", "units"), OTHER["units"]), force=True)


def test_an_environment_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(UserError, match="Unknown env 'franka_dance'.*franka_cube"):
        check(about(env="franka_dance"), CUBE, given="P", where="env=X", keys=FitKeys())


# ------------------------------------------------------------------------------------------ conversions


def slower(hz, share=1.0):
    part = lambda ends: (*(share * v for v in ends[:7]), *ends[7:])
    action = replace(SPEC.action, low=part(SPEC.action.low), high=part(SPEC.action.high))
    return replace(SPEC, control_hz=hz, action=action, history=replace(SPEC.history, every_s=1 / hz))


def test_a_slower_policys_command_is_held_where_that_is_asked_for_and_its_increments_are_shared():
    with pytest.raises(UserError, match=r"acts at 5 Hz and env=X at 10 Hz.*convert=\[rate\] runs it all the same"):
        fit(slower(5.0, 2.0))
    made = fit(slower(5.0, 2.0), convert=["rate"])
    assert (made.hold, made.gain) == (2, ())
    made = fit(slower(5.0), convert=["rate", "range"])  # its 0.06 rad in 0.2 s are 0.03 rad in 0.1 s
    assert made.hold == 2 and made.gain == pytest.approx((0.5,) * 7 + (1.0,)) and made.bias == pytest.approx((0.0,) * 8)
    with pytest.raises(UserError, match="low end of action 0, d_joint1, is -0.03"):
        fit(slower(5.0), convert=["rate"])


@pytest.mark.parametrize(("hz", "words"), [(20.0, "faster policy"), (4.0, "whole number"), (7.0, "whole number")])
def test_a_faster_policy_and_a_fraction_of_a_period_are_never_converted(hz, words):
    with pytest.raises(UserError, match=words):
        fit(slower(hz), convert=["rate"])
    with pytest.raises(UserError, match="trained in franka_cube"):  # and no conversion is offered
        fit(slower(hz))


def test_a_number_that_nobody_knows_is_not_held():
    spec = replace(
        slower(5.0, 2.0), action=replace(slower(5.0, 2.0).action, meanings=("unknown", *SPEC.action.meanings[1:]))
    )
    with pytest.raises(UserError, match="the meaning of the action d_joint1"):
        fit(spec, convert=["rate"])


def test_a_range_is_converted_only_into_a_larger_one():
    small = replace(
        SPEC, action=replace(SPEC.action, low=(-0.01, *SPEC.action.low[1:]), high=(0.03, *SPEC.action.high[1:]))
    )
    made = fit(small, convert=["range"])
    low, high = (made.gain[0] * end + made.bias[0] for end in (-1, 1))
    assert (low, high) == pytest.approx((-0.01 / 0.06, 0.5))
    large = replace(SPEC, action=replace(SPEC.action, high=(0.07, *SPEC.action.high[1:])))
    with pytest.raises(UserError, match="high end of action 0, d_joint1, is 0.07 in the policy and 0.06 in env=X"):
        fit(large, convert=["range"])


def test_a_conversion_that_does_not_exist_lists_those_that_do():
    with pytest.raises(UserError, match="Unknown conversion 'units'.*crop, range, rate"):
        FitKeys(convert=["units"])


def test_the_table_has_a_row_for_every_field():
    assert table().count("\n") == 1 + len(rules())
