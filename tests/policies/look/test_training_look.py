"""Frames that look like the training pictures are in, others are out, and the sentence names the difference."""

import numpy as np
import pytest
import torch
from looks import CodeEncoder, encoder_features, pictures, rows

from policies import look
from policies.features.features import EncoderConfig, PixelFeatures
from policies.look import TrainingLook
from policies.look.training_look import LEAST, unseen
from toto_robot.ground.errors import UserError

FEATURES = encoder_features()


@pytest.fixture(scope="module")
def one_look():
    return TrainingLook.fit(rows(pictures(400, seed=1)))


@pytest.fixture(scope="module")
def many_looks():
    return TrainingLook.fit(rows(pictures(400, seed=1, gain=(0.4, 1.6)), per_episode=1))


def live(gain=1.0, noise=0.0, seed=77):
    """30 frames of a scene that stands still."""
    rng = np.random.default_rng(seed)
    still = pictures(1, seed).astype(float)
    return np.clip(np.repeat(still, look.FRAMES, 0) * gain + rng.normal(0, 1, (30, 32, 32, 3)) * noise, 0, 255).astype(
        np.uint8
    )


def test_new_pictures_of_the_same_look_are_in(one_look):
    verdicts = [one_look.look_at(FEATURES, live(seed=seed)).verdict for seed in range(50)]
    assert verdicts.count(look.OUT) == 0 and verdicts.count(look.IN) >= 45


@pytest.mark.parametrize(
    "changed, name, words",
    [
        ({"gain": 0.7}, "exposure", "grey level"),
        ({"noise": 12.0}, "noise", "noise in grey levels"),
        ({"gain": np.array([1.3, 1, 1])}, "colour", "red to green"),
    ],
)
def test_another_look_is_out_and_the_sentence_names_the_statistic_and_its_numbers(one_look, changed, name, words):
    found = one_look.look_at(FEATURES, live(**changed))
    assert found.verdict == look.OUT and found.far[name] > look.FAR
    assert f"{name} {found.far[name]:.1f} times" in found.said or found.said.startswith(
        f"{name} is {found.far[name]:.1f} times"
    )
    assert (
        "times as far off as 99 % of the training pictures" in found.said
        and words in found.said
        and "in training" in found.said
    )


def test_a_policy_that_was_trained_on_many_looks_knows_what_one_look_doesnt(one_look, many_looks):
    dim = live(gain=0.75)
    assert one_look.look_at(FEATURES, dim).verdict == look.OUT
    assert many_looks.look_at(FEATURES, dim).verdict == look.IN
    assert many_looks.look_at(FEATURES, live()).verdict == look.IN


def test_codes_that_were_never_seen_make_doubt_and_no_more(one_look):
    class OtherCodes(CodeEncoder):
        def codes(self, frames):
            return super().codes(frames) + 100

    found = one_look.look_at(encoder_features(OtherCodes()), live())
    assert (
        found.verdict == look.UNSURE and found.far["codes"] > 10 and "100 % of the codes were never seen" in found.said
    )
    assert list(unseen(np.array([[1, 2, 3, 4]]), np.array([1, 2, 3]))) == [0.25]


def test_equal_frames_are_measured_once_and_count_as_often_as_they_came(one_look):
    class Counting(CodeEncoder):
        frames = 0

        def __call__(self, frames):
            self.frames += len(frames)
            return super().__call__(frames)

    still, other = live()[:1], live(gain=0.5)[:1]
    features = encoder_features(encoder := Counting())
    found = one_look.look_at(features, np.concatenate([other, *[still] * 20]))
    assert encoder.frames <= 4  # for features and for codes, two frames each
    assert found.verdict == one_look.look_at(FEATURES, still).verdict  # a hand before the lens for a moment


def test_a_policy_that_sees_the_frames_themselves_is_judged_by_the_pictures_alone():
    features = PixelFeatures(EncoderConfig("resnet"))
    big = lambda frames: frames.repeat(4, 1).repeat(4, 2)
    kept = TrainingLook.fit(rows(big(pictures(60)), features))
    assert set(kept.units) == {"exposure", "colour", "sharpness", "noise"}
    assert kept.look_at(features, big(live())).verdict == look.IN
    assert kept.look_at(features, big(live(gain=0.6))).verdict == look.OUT


def test_the_same_rows_give_the_same_bits_and_too_few_give_none():
    a, b = (TrainingLook.fit(rows(pictures(100))) for _ in range(2))
    assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)
    assert TrainingLook.fit(rows(pictures(LEAST - 1))) is None
    assert TrainingLook.fit(rows(pictures(40), per_episode=1000)).episodes == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.pop("noise.axes"),
        lambda t: t.update({"usual": torch.zeros(2, 3)}),
        lambda t: t.pop("colour.mean"),
        lambda t: t.update({"exposure.mean": torch.full((4,), torch.nan)}),
        lambda t: t.update({"exposure.mean": torch.zeros(3)}),
        lambda t: t.update({"features.unit": torch.tensor(0.0)}),
        lambda t: t.update({"features.axes": torch.zeros(2)}),
    ],
)
def test_tensors_that_dont_fit_together_are_refused(one_look, spoil):
    tensors = dict(one_look.tensors)
    spoil(tensors)
    with pytest.raises(UserError, match="training pictures"):
        TrainingLook(tensors, 1, 1)


def test_a_policy_without_statistics_says_how_to_add_them():
    found = look.unknown("mine")
    assert (
        str(found).startswith("unknown: the policy mine has no statistics") and "toto_robot.add_look mine" in found.said
    )
