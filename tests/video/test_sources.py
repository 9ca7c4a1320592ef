import pytest

from toto_robot.ground.errors import UserError
from toto_robot.video.sources import LAYOUTS, detect, open_source


def touch(root, *names, data=b"x"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def test_a_plain_folder_and_a_single_file_are_sources(tmp_path):
    touch(tmp_path, "clips/a.mp4", "b.png")
    source = open_source(str(tmp_path))
    assert (source.kind, [i.name for i in source.items], source.missing) == ("folder", ["b.png", "clips/a.mp4"], [])
    assert [i.name for i in open_source(str(tmp_path / "clips" / "a.mp4")).items] == ["a.mp4"]


def test_every_layout_is_found_by_looking_and_none_is_taken_for_another(tmp_path):
    layouts = {
        "imagenet": ["train/n01440764/n01440764_1.JPEG"],
        "kinetics": ["train/abseiling/-3B32lodo2M_000059_000069.mp4"],
        "ego4d": ["v2/clips/00000000-1111-2222-3333-444444444444.mp4"],
        "epic": ["P01/videos/P01_01.MP4"],
        "webdataset": ["shard-000000.tar"],
        "lerobot": ["meta/info.json", "videos/chunk-000/observation.images.wrist/episode_000000.mp4"],
        "folder": ["some/clip.mp4"],
    }
    for kind, names in layouts.items():
        touch(tmp_path / kind, *names)
        assert detect(tmp_path / kind) == kind
    touch(tmp_path / "howto100m", "HowTo100M_v1.csv", data=b"video_id,category_1,rank\nabc,Food,1\n")
    assert detect(tmp_path / "howto100m") == "howto100m"
    assert set(layouts) | {"howto100m"} == set(LAYOUTS)


def test_a_kind_before_the_path_forces_the_layout(tmp_path):
    touch(tmp_path, "train/abseiling/a.mp4", "val/abseiling/b.mp4")
    assert [i.name for i in open_source(str(tmp_path)).items] == ["train/abseiling/a.mp4", "val/abseiling/b.mp4"]
    forced = open_source(f"kinetics:{tmp_path}")
    assert (forced.kind, [i.name for i in forced.items]) == ("kinetics", ["train/abseiling/a.mp4"])


def test_an_ambiguous_layout_names_what_was_found_and_how_to_choose(tmp_path):
    touch(tmp_path, "a.tar", "P01/P01_01.MP4")
    with pytest.raises(UserError, match=r"epic \(P01/P01_01.MP4\), webdataset \(a.tar\); choose with source=KIND:"):
        open_source(str(tmp_path))


def test_nothing_to_read_says_what_is_there_and_what_exists(tmp_path):
    touch(tmp_path, "a.txt", "b.txt", "c.tar.gz")
    with pytest.raises(UserError, match=r"no videos in .* found 1 × .gz, 2 × .txt .*imagenet, kinetics, ego4d"):
        open_source(str(tmp_path))
    with pytest.raises(UserError, match="no such folder"):
        open_source(str(tmp_path / "none"))
    with pytest.raises(UserError, match="Unknown layout .*'kinetcs'.*Did you mean 'kinetics'.*imagenet, kinetics"):
        open_source(f"kinetcs:{tmp_path}")
