import io
import os
import tarfile

import pytest

from toto_robot.video.items import Item, Source, kind_of, media, walk


def touch(root, *names, data=b"x"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def test_the_kind_follows_the_suffix_in_any_case():
    names = ("a/b.MP4", "c.JPEG", "d.gif", "e.pkl", "mp4")
    assert [kind_of(name) for name in names] == ["video", "image", "video", None, None]


def test_media_come_sorted_by_name_with_hidden_and_other_files_left_out(tmp_path):
    touch(tmp_path, "b/1.mp4", "b.mp4", "a/x.png", "a/.hidden.mp4", "a/notes.txt")
    found = [(i.name, i.kind) for i in media(tmp_path, ("video", "image"))]
    assert found == [("a/x.png", "image"), ("b.mp4", "video"), ("b/1.mp4", "video")]
    assert [i.name for i in media(tmp_path, ("video",), tmp_path / "b")] == ["b/1.mp4"]


def test_linked_folders_are_followed_once(tmp_path):
    touch(tmp_path, "real/1.mp4")
    os.symlink(tmp_path / "real", tmp_path / "data", target_is_directory=True)
    os.symlink(tmp_path, tmp_path / "data" / "loop", target_is_directory=True)
    assert [e.name for e in walk(tmp_path)] == ["1.mp4"]


def test_a_tar_member_opens_as_its_bytes_and_a_cut_one_is_an_error(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("x.mp4")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"hello"))
    item = Item("a.tar/x.mp4", "video", 5, 0, str(tmp_path / "a.tar"), offset=512)
    assert item.open().read() == b"hello" and "a.tar" in item.where
    with open(tmp_path / "a.tar", "r+b") as file:
        file.truncate(514)
    with pytest.raises(OSError, match="3 bytes"):
        item.open()


def test_a_sources_hash_ignores_place_and_time_and_nothing_else(tmp_path):
    item = Item("a.mp4", "video", 5, 1, "/x/a.mp4")
    hash_of = lambda *items: Source("folder", "p", list(items), []).hash
    assert hash_of(item) == hash_of(Item("a.mp4", "video", 5, 2, "/y/a.mp4"))
    others = [
        Item("b.mp4", "video", 5, 1, ""),
        Item("a.mp4", "image", 5, 1, ""),
        Item("a.mp4", "video", 6, 1, ""),
        Item("a.mp4", "video", 5, 1, "", span_s=(0.0, 1.0)),
    ]
    assert len({hash_of(item), *map(hash_of, others)}) == 5
