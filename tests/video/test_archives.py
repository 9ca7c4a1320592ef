import io
import pickle
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toto_robot.video.decode import read_frames, read_image, write_video
from toto_robot.video.sources import open_source


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a member was unpickled')",)


def pack(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_videos_and_pictures_are_read_inside_the_tar_and_nothing_else_is_touched(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (20, 32, 48, 3), dtype=np.uint8)
    video = write_video(tmp_path / "x" / "a.mp4", frames, fps=30)
    Image.fromarray(frames[0]).save(tmp_path / "x" / "p.png")
    picture = (tmp_path / "x" / "p.png").read_bytes()
    bomb = pickle.dumps(Bomb())
    pack(tmp_path / "t-000.tar", [("a/0001.json", b"{}"), ("a/0001.mp4", video.read_bytes()), ("a/0001.pkl", bomb)])
    pack(tmp_path / "t-001.tar", [("0002.cls", b"3"), ("0002.png", picture), ("0003.pyd", bomb)])
    before = sorted(p.name for p in tmp_path.rglob("*"))
    source = open_source(f"webdataset:{tmp_path}")
    names = [("t-000.tar/a/0001.mp4", "video"), ("t-001.tar/0002.png", "image")]
    assert [(i.name, i.kind) for i in source.items] == names
    for got, wanted in zip(read_frames(source.items[0], 32), read_frames(video, 32)):
        assert np.array_equal(got, wanted)
    assert np.array_equal(read_image(source.items[1], 32), read_image(tmp_path / "x" / "p.png", 32))
    assert sorted(p.name for p in tmp_path.rglob("*")) == before and not source.missing


def test_a_tar_that_breaks_off_or_is_none_gives_what_comes_before_and_is_named(tmp_path):
    pack(tmp_path / "cut.tar", [("1.mp4", b"a" * 2000), ("2.mp4", b"b" * 2000), ("3.mp4", b"c" * 2000)])
    whole = (tmp_path / "cut.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:4000])
    (tmp_path / "garbage.tar").write_bytes(whole[:2560] + b"?" * 5120)
    (tmp_path / "text.tar").write_bytes(b"not a tar" * 100)
    with tarfile.open(tmp_path / "packed.tar", "w:gz") as tar:
        tar.add(__file__, "x.mp4")
    source = open_source(str(tmp_path))
    assert {"cut.tar/1.mp4", "garbage.tar/1.mp4"} <= {i.name for i in source.items}
    reasons = {entry["source"]: entry["reason"] for entry in source.missing}
    assert set(reasons) == {"cut.tar", "garbage.tar", "text.tar", "packed.tar"} and "gunzip" in reasons["packed.tar"]


def test_links_and_sparse_members_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        link = tarfile.TarInfo("evil.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        info = tarfile.TarInfo("good.mp4")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    assert [i.name for i in open_source(str(tmp_path)).items] == ["a.tar/good.mp4"]


MEMBER = st.tuples(st.from_regex(r"[a-z]{1,3}\.(mp4|jpg|json|pkl)", fullmatch=True), st.binary(max_size=1500))


@given(st.lists(MEMBER, max_size=8))
@settings(max_examples=25, deadline=None)
def test_members_come_back_byte_for_byte_with_the_last_of_a_name(tmp_path_factory, members):
    path = tmp_path_factory.mktemp("t") / "a.tar"
    pack(path, [("0.mp4", b"always"), *members])
    wanted = {f"a.tar/{name}": data for name, data in [("0.mp4", b"always"), *members] if name.endswith(("mp4", "jpg"))}
    assert {i.name: i.open().read() for i in open_source(str(path)).items} == wanted


def test_tars_of_webdatasets_own_writer_read_as_webdataset_reads_them(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "a-000000.tar")) as writer:
        for i in range(3):
            writer.write({"__key__": f"clips/{i:04d}", "mp4": bytes([i]) * (700 * i + 1), "cls": i, "json": {"id": i}})
    theirs = webdataset.WebDataset(str(tmp_path / "a-000000.tar"), shardshuffle=False)
    wanted = {f"a-000000.tar/{sample['__key__']}.mp4": sample["mp4"] for sample in theirs}
    assert {item.name: item.open().read() for item in open_source(str(tmp_path)).items} == wanted and len(wanted) == 3
