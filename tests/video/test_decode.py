import numpy as np
import pytest
from PIL import Image

from toto_robot.errors import UserError
from toto_robot.video.decode import VideoError, find_videos, read_frames, read_image, split_held_out, write_video


def ramp(count=20, size=64):
    """Frames whose brightness tells their number."""
    return np.repeat(np.arange(count, dtype=np.uint8)[:, None, None, None] * 10, size, 1).repeat(size, 2).repeat(3, 3)


def test_a_written_video_reads_back_in_order_with_its_times(tmp_path):
    path = write_video(tmp_path / "deep" / "a.mp4", ramp(), fps=20)
    frames, times_s = read_frames(path, 32)
    assert frames.shape == (20, 32, 32, 3) and frames.dtype == np.uint8
    assert np.allclose(times_s, np.arange(20) / 20, atol=1e-3)
    assert np.abs(frames.mean((1, 2, 3)) - np.arange(20) * 10).max() < 4
    assert [p.name for p in path.parent.iterdir()] == ["a.mp4"]


def test_odd_sides_are_written(tmp_path):
    frames, _ = read_frames(write_video(tmp_path / "odd.mp4", np.zeros((3, 33, 47, 3), np.uint8), fps=10), 32)
    assert frames.shape == (3, 32, 32, 3)


def test_a_gif_with_uneven_delays_keeps_its_timestamps(tmp_path):
    pictures = [Image.fromarray(f) for f in ramp(4)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 300, 50, 100])
    frames, times_s = read_frames(tmp_path / "a.gif", 64)
    assert np.allclose(times_s, [0, 0.1, 0.4, 0.45]) and len(frames) == 4


def test_a_picture_reads_as_one_frame(tmp_path):
    Image.fromarray(ramp()[5]).save(tmp_path / "a.png")
    assert np.abs(read_image(tmp_path / "a.png", 32).astype(int) - 50).max() <= 1


@pytest.mark.parametrize("damage", ["text", "empty", "truncated"])
def test_a_broken_video_is_one_sentence_with_its_name_and_the_remedy(tmp_path, damage):
    whole = write_video(tmp_path / "whole.mp4", ramp(), fps=20).read_bytes()
    path = tmp_path / "broken.mp4"
    path.write_bytes({"text": b"not a video", "empty": b"", "truncated": whole[:len(whole) // 2]}[damage])
    with pytest.raises(VideoError, match="broken.mp4.*(remove|replace)") as error:
        read_frames(path)
    assert "\n" not in str(error.value) and error.value.exit_code == 2


def test_a_missing_video_is_a_users_mistake(tmp_path):
    with pytest.raises(VideoError, match="no such video"):
        read_frames(tmp_path / "none.mp4")


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError):
        write_video(tmp_path / "a.mp4", np.zeros((2, 8, 8, 3), np.float32), fps=10)
    with pytest.raises(VideoError, match=".mp4"):
        write_video(tmp_path / "a.avi", ramp(), fps=10)
    assert not list(tmp_path.iterdir())


def test_videos_are_found_at_any_depth_in_a_fixed_order(tmp_path):
    for name in ("b/2.mp4", "a/1.GIF", "c.txt", "d.png", "b/.hidden.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in find_videos(tmp_path)] == ["1.GIF", "2.mp4"]
    assert [p.name for p in find_videos(tmp_path, images=True)] == ["1.GIF", "2.mp4", "d.png"]
    for folder, says in ((tmp_path / "none", "no such folder"), (tmp_path / "e", "no videos")):
        (tmp_path / "e").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=says):
            find_videos(folder)


def test_the_held_out_split_depends_on_names_only(tmp_path):
    videos = [tmp_path / f"{i}.mp4" for i in range(40)]
    train, held_out = split_held_out(videos, 0.1)
    assert len(held_out) == 4 and sorted(train + held_out) == sorted(videos)
    moved = [tmp_path / "elsewhere" / v.name for v in reversed(videos)]
    assert {v.name for v in split_held_out(moved, 0.1)[1]} == {v.name for v in held_out}
    assert split_held_out(videos, 0)[1] == [] and split_held_out(videos[:1], 0.5)[1] == []
