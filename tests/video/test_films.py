"""Videos as people's programs write them are read as a player shows them."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.video.films import MATRICES, corners, quarters, with_display_matrix, write_film
from toto_robot.video.decode import VideoError, read_frames, read_image

TWENTY = np.arange(20, dtype=np.uint8)[:, None, None, None].repeat(64, 1).repeat(64, 2).repeat(3, 3) * 10


@pytest.mark.parametrize(
    "suffix, codec", [("mkv", "libx264"), ("webm", "libvpx"), ("mp4", "libx264"), ("ts", "libx264")]
)
def test_a_picture_that_starts_late_gives_all_its_frames(tmp_path, suffix, codec):
    frames, times_s = read_frames(write_film(tmp_path / f"a.{suffix}", TWENTY, start=50, codec=codec), 32)
    assert len(frames) == 20 and np.allclose(times_s, np.arange(20) / 10, atol=2e-3)


@pytest.mark.parametrize("own_duration", [True, False])
def test_sound_that_is_longer_than_the_picture_is_no_damage(tmp_path, own_duration):
    path = write_film(tmp_path / "a.mkv", TWENTY, sound_s=6.0, own_duration=own_duration)
    assert len(read_frames(path, 32)[0]) == 20


@pytest.mark.parametrize(
    "tags",
    [
        {"DURATION-eng": "00:00:02.000000000"},
        {"DURATION-eng": "00:00:02.000000000", "_STATISTICS_TAGS-eng": "BPS NUMBER_OF_FRAMES"},
    ],
)
def test_a_duration_with_a_language_is_that_of_the_stream(tmp_path, tags):
    path = write_film(tmp_path / "a.mkv", TWENTY, start=50, sound_s=9.0, tags=tags, own_duration=False)
    assert len(read_frames(path, 32)[0]) == 20


def test_a_file_that_breaks_off_is_refused_also_when_only_the_file_says_its_length(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    path = write_film(tmp_path / "a.mkv", noise, sound_s=7.0, own_duration=False)
    assert len(read_frames(path, 32)[0]) == 60
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match="a.mkv (breaks off|does not decode) after"):
        read_frames(path, 32)


def test_of_two_streams_the_default_one_is_read(tmp_path):
    other = np.zeros((20, 32, 32, 3), np.uint8)
    frames, _ = read_frames(write_film(tmp_path / "a.mkv", TWENTY, before=other), 32)
    assert np.abs(frames.mean((1, 2, 3)) - 10 * np.arange(20)).max() < 4


def test_a_cover_picture_is_not_the_video(tmp_path):
    import av
    from av.stream import Disposition

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        cover, sound = out.add_stream("png", rate=1), out.add_stream("aac", rate=48000)
        cover.width = cover.height = 64
        cover.pix_fmt, cover.disposition = "rgb24", Disposition.attached_pic
        packets = cover.encode(av.VideoFrame.from_ndarray(quarters(), format="rgb24")) + cover.encode()
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        part.sample_rate, part.pts = 48000, 0
        out.mux([*packets, *sound.encode(part), *sound.encode()])
    with pytest.raises(VideoError, match="song.mp4 holds no video stream"):
        read_frames(path, 32)


def test_frames_that_an_edit_list_cuts_off_are_not_shown(tmp_path):
    frames, times_s = read_frames(write_film(tmp_path / "a.mp4", TWENTY, start=-5), 32)
    assert len(frames) == 15 and np.abs(frames.mean((1, 2, 3)) - 10 * np.arange(5, 20)).max() < 4
    assert np.allclose(times_s, np.arange(15) / 10, atol=1e-3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_picture_and_of_a_video_comes_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("jpg", "png", "webp"):
        Image.fromarray(quarters()).save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
        upright = ImageOps.exif_transpose(Image.open(tmp_path / f"a.{suffix}"))
        want = corners(np.asarray(upright.convert("RGB")))
        assert corners(read_image(tmp_path / f"a.{suffix}", 32)) == want, suffix
    film = with_display_matrix(write_film(tmp_path / "a.mp4", quarters()[None].repeat(2, 0)), *MATRICES[orientation])
    assert corners(read_frames(film, 32)[0][0]) == want
