import numpy as np
import pytest
import torch
from toy_world import ToyEncoder, ToyVec

from policies.experts.choose import make_labeller
from policies.features.features import EncoderConfig, make_features
from toto_robot.ground.errors import UserError


def test_features_are_rounded_once_so_training_and_acting_see_the_same_numbers():
    features = make_features(EncoderConfig("toy"), encoder=ToyEncoder())
    out = features(ToyVec(3).reset([1, 2, 3]))
    assert out.dtype == features.dtype == torch.float16 and out.shape == (3, *features.shape)
    assert torch.equal(out, out.float().half())


def test_huge_activations_do_not_become_infinite():
    class Huge(ToyEncoder):
        def __call__(self, frames):
            return super().__call__(frames) * 1e9

    out = make_features(EncoderConfig("toy"), encoder=Huge())(ToyVec(2).reset([1, 2]))
    assert out.isfinite().all()


def test_none_and_privileged_need_no_encoder():
    obs = ToyVec(4).reset([0, 1, 2, 3])
    none = make_features(EncoderConfig("none"))
    assert none(obs).shape == (4, 0) and none.needs is None
    privileged = make_features(EncoderConfig("privileged"), privileged_dim=2)
    assert np.array_equal(privileged(obs).numpy(), obs["privileged"]) and privileged.needs == "privileged"


def test_impossible_choices_are_a_users_error():
    for bad in ({"pooling": "max"}, {"layer": 0}):
        with pytest.raises(UserError, match="encoder"):
            EncoderConfig(**bad)
    with pytest.raises(UserError, match="scripted"):
        make_labeller("oracle")


def test_frames_of_another_size_are_refused_with_the_key_that_helps():
    class Sized(ToyEncoder):
        image_size = 64

    with pytest.raises(UserError, match="encoder=toy: expected 64×64 pixels, got 32×32.*encoder.crop=centre"):
        make_features(EncoderConfig("toy"), encoder=Sized())(ToyVec(1).reset([1]))
