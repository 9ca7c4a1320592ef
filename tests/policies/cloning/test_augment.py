import colorsys

import numpy as np
import pytest
import torch

from policies.cloning.augment import AugmentConfig, augment, blur, jitter, shade, shift, turn_hue
from toto_robot.ground.errors import UserError

FRAMES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8))


def generator():
    return torch.Generator().manual_seed(0)


def test_everything_off_changes_nothing_and_everything_on_is_a_function_of_the_generator():
    assert augment(FRAMES, AugmentConfig(), generator()) is FRAMES
    config = AugmentConfig(1.0, 0.5, 0.5, 2)
    one, two = (augment(FRAMES, config, generator()) for _ in range(2))
    assert torch.equal(one, two) and not torch.equal(one, FRAMES)
    assert one.shape == FRAMES.shape and one.dtype == torch.uint8


def test_a_shifted_frame_is_a_crop_of_the_frame_with_its_edge_repeated():
    padded = np.pad(FRAMES.numpy(), ((0, 0), (3, 3), (3, 3), (0, 0)), mode="edge")
    places = set()
    for i, frame in enumerate(shift(FRAMES, 3, generator()).numpy()):
        crops = {(y, x): padded[i, y : y + 16, x : x + 16] for y in range(7) for x in range(7)}
        found = [at for at, crop in crops.items() if np.array_equal(crop, frame)]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 1


def test_hue_turns_as_in_colorsys():
    x = torch.rand(1, 3, 4, 4, generator=generator())
    turned = turn_hue(x, torch.tensor([0.07]))
    for y in range(4):
        for z in range(4):
            h, s, v = colorsys.rgb_to_hsv(*x[0, :, y, z].tolist())
            assert turned[0, :, y, z].tolist() == pytest.approx(colorsys.hsv_to_rgb((h + 0.07) % 1, s, v), abs=1e-5)


def test_unit_factors_leave_a_frame_as_it_is_and_a_blur_keeps_its_mean():
    x = torch.rand(2, 3, 16, 16, generator=generator())
    assert torch.allclose(jitter(x, torch.ones(3, 2, 1, 1, 1), torch.zeros(2)), x, atol=1e-6)
    flat = torch.full_like(x, 0.3)
    assert torch.allclose(blur(flat, torch.tensor([0.1, 2.0])), flat, atol=1e-6)
    soft = blur(x, torch.tensor([0.01, 2.0]))
    assert torch.allclose(soft[0], x[0], atol=1e-4) and soft[1].std() < 0.5 * x[1].std()


def test_impossible_settings_are_a_users_error():
    with pytest.raises(UserError, match="probabilities"):
        AugmentConfig(jitter=2.0)


def test_a_shadow_takes_at_most_half_of_the_light_on_one_side_and_only_where_it_is_chosen():
    frames = torch.full((64, 32, 32, 3), 200, dtype=torch.uint8)
    chosen = torch.arange(64) % 2 == 0
    shaded = shade(frames, chosen, torch.Generator().manual_seed(0))
    assert torch.equal(shaded[~chosen], frames[~chosen])
    assert shaded.min() >= 100 and shaded.max() == 200
    sides = [(frame == 200).any() and (frame < 190).any() for frame in shaded[chosen][..., 0]]
    assert sum(map(bool, sides)) > 24  # nearly every edge runs through the picture
