"""A folder in which a fifth of the files is damaged, in every way that real folders are, tokenizes to its end."""

import json
import re
from fractions import Fraction

import av
import numpy as np
import pytest

from toto_robot import tokenize
from toto_robot.tokens.store.build import TokenizeConfig, build_store
from toto_robot.tokens.store.token_store import TokenStore
from toto_robot.video.decode import write_video


def noise(seed, count=20):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def write(path, frames, times_s=None, rotation=0, codec="libx264"):
    """A video with its own timestamps and rotation."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 10000)
        if rotation:
            stream.set_display_rotation(rotation)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(10000 * (i / 10 if times_s is None else times_s[i])), Fraction(1, 10000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """28 good videos (two of them turned, two of variable rate) and 7 damaged ones, with the reason for each."""
    folder = tmp_path_factory.mktemp("wild")
    for i in range(24):
        write_video(folder / f"good{i:02d}.mp4", noise(i), fps=30)
    for i, degrees in enumerate((90, 180)):
        write(folder / f"turned{i}.mov", noise(30 + i), rotation=degrees)
        gaps_s = np.random.default_rng(i).uniform(0.02, 0.3, 19)
        write(folder / f"uneven{i}.mkv", noise(40 + i), times_s=np.cumsum(np.r_[0, gaps_s]))
    whole = (folder / "good00.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    write(folder / "cut.mkv", noise(50, 60))
    (folder / "cut.mkv").write_bytes((folder / "cut.mkv").read_bytes()[:20000])
    (folder / "empty.webm").write_bytes(b"")
    (folder / "text.mp4").write_text("<html>404 Not Found</html>")
    write_video(folder / "video.mp4", noise(60), fps=30).rename(folder / "video.jpg")
    write_audio(folder / "sound.m4v")
    write_video(folder / "one.mp4", noise(61, 1), fps=30)
    return folder


DAMAGED = {
    "cut.mp4": "does not decode",
    "cut.mkv": "(breaks off|does not decode) after",
    "one.mp4": "needs 16 frames, and the video has 1$",
    "empty.webm": "does not decode",
    "text.mp4": "does not decode",
    "video.jpg": "holds a video",
    "sound.m4v": "no video stream",
}


def config(folder, out, tokenizer, **keys):
    return TokenizeConfig(str(folder), str(out), tokenizer, image_size=32, workers=2, files_per_shard=8, **keys)


def test_every_damaged_file_is_named_with_its_reason_and_every_other_one_is_there(folder, tmp_path, tokenizer):
    result = build_store(config(folder, tmp_path / "s", tokenizer))
    store = TokenStore(tmp_path / "s")
    assert (result["files"], result["left_out"], result["failed"]) == (35, 7, 6)  # too short is not a failure
    reasons = {entry["source"]: entry["reason"] for entry in store.left_out}
    assert set(reasons) == set(DAMAGED)
    for name, says in DAMAGED.items():
        assert re.search(says, reasons[name]), reasons[name]
        assert name in reasons[name] or name == "one.mp4"
    sources = {store.row(i)["source"] for i in range(len(store))}
    assert sources == {p.name for p in folder.iterdir()} - set(DAMAGED)
    store.verify()


def test_strict_finishes_the_store_and_exits_with_1(folder, tmp_path, tokenizer, capsys):
    with pytest.raises(tokenize.Incomplete, match="6 files could not be read") as error:
        tokenize.main(config(folder, tmp_path / "s", tokenizer, strict=True))
    assert error.value.exit_code == 1
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["failed"] == 6 and len(TokenStore(tmp_path / "s")) == printed["rows"]


def test_files_that_a_list_promises_are_missing_by_name(tmp_path, tokenizer, capsys):
    write_video(tmp_path / "v" / "aaaaaaaaaaa.mp4", noise(0), fps=30)
    (tmp_path / "v" / "HowTo100M_v1.csv").write_text("video_id,task_id\naaaaaaaaaaa,1\nbbbbbbbbbbb,1\n")
    result = tokenize.main(config(tmp_path / "v", tmp_path / "s", tokenizer))
    assert (result["source"], result["rows"], result["missing"], result["failed"]) == ("howto100m", 1, 1, 0)
    assert json.loads((tmp_path / "s" / "missing.jsonl").read_text())["source"] == "bbbbbbbbbbb"
    assert TokenStore(tmp_path / "s").source["kind"] == "howto100m"
    with pytest.raises(tokenize.Incomplete):
        tokenize.main(config(tmp_path / "v", tmp_path / "s", tokenizer, strict=True))


def test_verify_names_the_damaged_shards_and_a_repeated_command_mends_them(tmp_path, tokenizer, capsys):
    for i in range(10):
        write_video(tmp_path / "v" / f"{i}.mp4", noise(i), fps=30)
    made = tokenize.main(config(tmp_path / "v", tmp_path / "s", tokenizer))
    check = TokenizeConfig("verify", str(tmp_path / "s"))
    assert tokenize.main(check)["damaged"] == []
    first, second = sorted((tmp_path / "s" / "shards").iterdir())
    data = bytearray((second / "codes.u16").read_bytes())
    data[5] ^= 1
    (second / "codes.u16").write_bytes(data)
    with pytest.raises(tokenize.Incomplete, match=f"1 damaged.*{second.name}.*delete these folders"):
        tokenize.main(check)
    assert [d["shard"] for d in json.loads(capsys.readouterr().out.splitlines()[-1])["damaged"]] == [second.name]
    for path in second.iterdir():
        path.unlink()
    second.rmdir()
    again = tokenize.main(config(tmp_path / "v", tmp_path / "s", tokenizer))
    assert again["shards_made_now"] == 1 and again["fingerprint"] == made["fingerprint"]
    assert not tokenize.main(check)["damaged"]
