"""Filming: labelled frames agree with the simulator, and mistakes are reported."""

import numpy as np
import pytest

from envs.errors import EnvError
from toto_robot.ground.errors import UserError
from toto_robot.render import RenderConfig, main
from toto_robot.video.decode import read_frames


def test_labels_are_where_the_cube_is_and_the_seed_decides(tmp_path):
    made = [
        main(
            RenderConfig(
                out=str(tmp_path / f"{i}.npz"), labels=True, clips=2, frames=6, keep_every=2, looks=["nominal"], seed=4
            )
        )
        for i in range(2)
    ]
    assert made[0]["frames"] == 6 and made[0]["episodes"] == 2
    first, second = (np.load(tmp_path / f"{i}.npz") for i in range(2))
    for key in ("frames", "cube_in_hand_m", "episode"):
        np.testing.assert_array_equal(first[key], second[key])
    assert first["frames"].shape == (6, 128, 128, 3) and first["episode"].tolist() == [0, 0, 0, 1, 1, 1]
    depth = first["cube_in_hand_m"][:, 2]  # the hand starts 0.3 m above the table, looking down
    assert (depth > 0.15).all() and (depth < 0.45).all()


@pytest.mark.parametrize(
    "keys,words",
    [
        ({"out": "x", "looks": ["dark"]}, "nominal"),
        ({"out": "x", "labels": True}, ".npz"),
        ({"out": "x", "clips": 0}, "at least 1"),
    ],
)
def test_a_users_mistake_is_one_sentence(keys, words):
    with pytest.raises(UserError, match=words):
        RenderConfig(**keys)


def test_labels_are_refused_where_there_is_no_cube(tmp_path):
    with pytest.raises(EnvError, match="franka_reach has no cube"):
        main(RenderConfig(out=str(tmp_path / "x.npz"), env="franka_reach", labels=True, clips=1, frames=2))


def test_every_environment_side_views_and_twins_are_filmed_frame_for_frame(tmp_path):
    made = main(
        RenderConfig(out=str(tmp_path / "clips"), env="all", clips=2, frames=3, side=True, twins=True, looks=["random"])
    )
    clips, twins = (sorted(p.name for p in (tmp_path / name).glob("*.mp4")) for name in ("clips", "clips_twins"))
    assert (
        made["clips"] == 2 and len(clips) == 4 and twins == [name for name in clips if not name.endswith("_side.mp4")]
    )
    first, twin = (read_frames(tmp_path / name / twins[0])[0] for name in ("clips", "clips_twins"))
    assert first.shape == twin.shape == (3, 128, 128, 3) and np.abs(first.astype(int) - twin).mean() > 2


def test_labels_are_of_one_wrist_camera():
    with pytest.raises(UserError, match="leave out twins"):
        RenderConfig(out="x.npz", labels=True, twins=True)
