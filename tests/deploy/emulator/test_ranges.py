"""The emulator refuses what an arm refuses, and takes what an arm takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.emulator import ranges
from deploy.robots.libfranka import thresholds

BOX = np.diag([0.001, 0.002, 0.0025])
TURNED = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0.1, 1.0]])  # 90° about z, column by column


def load(mass_kg, com_m=(0, 0, 0.05), inertia=BOX):
    return dict(m_load=np.array([mass_kg]), F_x_Cload=np.array(com_m, float), I_load=np.array(inertia).ravel())


def stiffness(*numbers):
    return dict(cartesian_stiffness=np.array(numbers, float))


TAKEN = {
    "a load": ("SetLoad", load(0.5)),
    "the largest payload": ("SetLoad", load(3.0)),
    "no load": ("SetLoad", load(0.0, (0, 0, 0), np.zeros((3, 3)))),
    "the stiffest joints": ("SetJointImpedance", dict(joint_stiffness=np.full(7, 14250.0))),
    "free joints": ("SetJointImpedance", dict(joint_stiffness=np.zeros(7))),
    "the stiffest hand": ("SetCartesianImpedance", stiffness(3000, 3000, 3000, 300, 300, 300)),
    "the softest hand": ("SetCartesianImpedance", stiffness(10, 10, 10, 1, 1, 1)),
    "a frame": ("SetNEToEE", dict(NE_T_EE=TURNED.ravel())),
    "a stiffness frame": ("SetEEToK", dict(EE_T_K=np.eye(4).ravel())),
    "no filter": ("SetFilters", dict(filters_hz=np.full(5, 1000.0))),
    "free guiding": ("SetGuidingMode", dict(guiding_mode=np.ones(7, np.uint8))),
}
REFUSED = {
    "500 kg": ("SetLoad", load(500.0)),
    "a negative load": ("SetLoad", load(-0.1)),
    "a load without inertia": ("SetLoad", load(0.5, inertia=np.zeros((3, 3)))),
    "a load far away": ("SetLoad", load(0.5, (0, 0, 30))),
    "an inertia that is not symmetric": ("SetLoad", load(0.5, inertia=BOX + np.eye(3, k=1) * 1e-4)),
    "an inertia that is negative": ("SetLoad", load(0.5, inertia=np.diag([0.001, 0.001, -0.001]))),
    "an inertia that no body has": ("SetLoad", load(0.5, inertia=np.diag([0.001, 0.001, 0.003]))),
    "an endless inertia": ("SetLoad", load(0.5, inertia=BOX * 1e300)),
    "joints of 1e9": ("SetJointImpedance", dict(joint_stiffness=np.full(7, 1e9))),
    "joints that push": ("SetJointImpedance", dict(joint_stiffness=np.full(7, -1.0))),
    "a hand that is too stiff": ("SetCartesianImpedance", stiffness(3000, 3000, 3000.1, 300, 300, 300)),
    "a hand that is too soft": ("SetCartesianImpedance", stiffness(10, 10, 10, 0.9, 1, 1)),
    "a negative threshold": ("SetCollisionBehavior", dict(tau_upper_nominal=np.full(7, -1.0))),
    "a frame of zeros": ("SetNEToEE", dict(NE_T_EE=np.zeros(16))),
    "a frame of sevens": ("SetEEToK", dict(EE_T_K=np.full(16, 7.0))),
    "a frame row by row": ("SetNEToEE", dict(NE_T_EE=TURNED.ravel(order="F"))),
    "a mirror": ("SetNEToEE", dict(NE_T_EE=np.diag([1.0, 1, -1, 1]).ravel())),
    "a sheared frame": ("SetEEToK", dict(EE_T_K=(np.eye(4) + 0.1 * np.eye(4, k=1)).ravel())),
    "a frame far away": ("SetNEToEE", dict(NE_T_EE=np.vstack([np.eye(4)[:3], [0, 0, 1e300, 1]]).ravel())),
    "a filter of 0 Hz": ("SetFilters", dict(filters_hz=np.zeros(5))),
    "a guiding mode of 7": ("SetGuidingMode", dict(guiding_mode=np.full(7, 7, np.uint8))),
}


@pytest.mark.parametrize("command, values", TAKEN.values(), ids=TAKEN)
def test_what_libfranka_documents_is_taken(command, values):
    assert ranges.refusal(command, values) is None


@pytest.mark.parametrize("command, values", REFUSED.values(), ids=REFUSED)
def test_what_no_arm_takes_is_refused_with_the_range(command, values):
    assert "expected" in (ranges.refusal(command, values) or "")


@given(st.sampled_from(sorted(TAKEN)), st.sampled_from([np.nan, np.inf, -np.inf]), st.data())
def test_a_number_that_is_not_finite_is_refused_in_every_setter(case, bad, data):
    command, values = TAKEN[case]
    name = data.draw(st.sampled_from(sorted(values)))
    numbers = values[name].astype(float)
    numbers[data.draw(st.integers(0, len(numbers) - 1))] = bad
    assert "finite" in (ranges.refusal(command, values | {name: numbers}) or "")


@pytest.mark.parametrize("collision", [1, 60, 100])
def test_the_thresholds_that_our_clients_send_are_taken(collision):
    tau_lower, tau_upper, force_lower, force_upper = (np.array(v) for v in thresholds({"collision": collision}))
    sent = dict(tau_lower=tau_lower, tau_upper=tau_upper, force_lower=force_lower, force_upper=force_upper)
    assert ranges.refusal("SetCollisionBehavior", sent) is None
