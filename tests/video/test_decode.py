from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from toto_robot.ground.errors import UserError
from toto_robot.video.decode import VideoError, find_videos, read_frames, read_image, split_held_out, write_video
from toto_robot.video.frames import resize_center_crop


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
    path.write_bytes({"text": b"not a video", "empty": b"", "truncated": whole[: len(whole) // 2]}[damage])
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


def test_rotated_video_and_pictures_come_upright(tmp_path):
    corner = np.zeros((48, 64, 3), np.uint8)
    corner[:16, :16] = 255  # bright at the top left of what the sensor saw
    for degrees, row, column in ((0, 0, 0), (90, 1, 0), (180, 1, 1), (-90, 0, 1)):
        path = tmp_path / f"{degrees}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.set_display_rotation(degrees)  # counter-clockwise
            for _ in range(2):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(corner, format="rgb24")))
            container.mux(stream.encode())
        frame = read_frames(path, 32)[0][0]
        bright = frame[[0, -1]][:, [0, -1]].mean(-1) > 60
        assert np.argwhere(bright).tolist() == [[row, column]]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_pictures_orientation_is_followed_as_pillow_does(tmp_path, orientation):
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    picture = Image.fromarray(noise)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg")).convert("RGB"))
    got = read_image(tmp_path / "a.jpg", 24)
    assert np.abs(got.astype(int) - resize_center_crop(upright, 24)).mean() < 4


def test_variable_frame_rates_keep_their_timestamps(tmp_path):
    times_s = np.concatenate([np.arange(10) / 30, 0.5 + np.arange(5) / 7, [2.0, 2.03]])
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90000)
        for time_s, pixels in zip(times_s, ramp(len(times_s))):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 90000), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames, got_s = read_frames(tmp_path / "a.mp4", 32)
    assert np.allclose(got_s, times_s, atol=1e-3)
    assert np.abs(frames.mean((1, 2, 3)) - np.arange(len(times_s)) * 10).max() < 4


def test_a_long_last_frame_is_no_damage(tmp_path):
    pictures = [Image.fromarray(f) for f in ramp(4)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 100, 100, 5000])
    assert len(read_frames(tmp_path / "a.gif", 32)[0]) == 4


@pytest.mark.parametrize(
    "container, codec, options",
    [("webm", "libvpx-vp9", {}), ("matroska", "libx264", {}), ("mp4", "libx264", {"movflags": "faststart"})],
)
def test_a_video_that_breaks_off_is_told_from_a_short_one(tmp_path, container, codec, options):
    path = tmp_path / f"a.{container.replace('matroska', 'mkv')}"
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.options = {"cpu-used": "8", "deadline": "realtime"} if codec == "libvpx-vp9" else {"preset": "ultrafast"}
        for pixels in noise:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    assert len(read_frames(path, 32)[0]) == 40
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match=f"{path.name} (breaks off|does not decode) after"):
        read_frames(path, 32)


def test_half_a_picture_and_a_video_named_like_one_are_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:2000])
    write_video(tmp_path / "v.mp4", ramp(), fps=20).rename(tmp_path / "v.jpg")
    for name, says in (("half.jpg", "does not decode"), ("v.jpg", "holds a video"), ("none.jpg", "no such video")):
        with pytest.raises(VideoError, match=f"{name}.*{says}" if says != "no such video" else says):
            read_image(tmp_path / name)


def test_a_playlist_dressed_as_a_video_reaches_for_nothing(tmp_path):
    write_video(tmp_path / "secret.mp4", ramp(), fps=20)
    for name, text in (
        ("hls.mp4", "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"),
        ("concat.mp4", "ffconcat version 1.0\nfile secret.mp4\n"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoError, match=name):
            read_frames(tmp_path / name)
