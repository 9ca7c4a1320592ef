import json

import pytest

from toto_robot.ground.errors import UserError
from toto_robot.video.sources import open_source

UID = [f"{i:08d}-1111-2222-3333-444444444444" for i in range(4)]


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names(spec, **choice):
    return [item.name for item in open_source(str(spec), **choice).items]


def test_imagenet_is_read_from_class_folders_and_from_the_whole_ilsvrc_tree(tmp_path):
    pictures = ["n01440764/n01440764_1.JPEG", "n01440764/n01440764_2.JPEG", "n02105855/n02105855_2933.JPEG"]
    touch(tmp_path / "classes", *reversed(pictures))
    assert names(tmp_path / "classes") == pictures
    base = "ILSVRC/Data/CLS-LOC"
    touch(
        tmp_path / "whole",
        "ILSVRC/Annotations/CLS-LOC/train/n01440764/a.xml",
        f"{base}/val/ILSVRC2012_val_00000001.JPEG",
        f"{base}/train/n01440764/n01440764_1.JPEG",
        f"{base}/test/ILSVRC2012_test_00000001.JPEG",
    )
    assert open_source(str(tmp_path / "whole")).kind == "imagenet"
    assert names(tmp_path / "whole") == [f"{base}/train/n01440764/n01440764_1.JPEG"]
    assert names(tmp_path / "whole", split="val") == [f"{base}/val/ILSVRC2012_val_00000001.JPEG"]
    assert len(names(tmp_path / "whole", split="all")) == 3


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path):
    touch(tmp_path, "val/ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(UserError, match="Unknown split of .*: 'train'.*What exists: val"):
        open_source(str(tmp_path))


def test_kinetics_class_folders_follow_the_split(tmp_path):
    touch(
        tmp_path,
        "train/arm wrestling/aaaaaaaaaaa_000001_000011.mp4",
        "validate/abseiling/bbbbbbbbbbb_000001_000011.mp4",
    )
    assert names(tmp_path) == ["train/arm wrestling/aaaaaaaaaaa_000001_000011.mp4"]
    assert names(tmp_path, split="val") == ["validate/abseiling/bbbbbbbbbbb_000001_000011.mp4"]


def test_kinetics_csv_decides_what_belongs_and_names_what_is_missing(tmp_path):
    touch(tmp_path, "train/aaaaaaaaaaa_000001_000011.mp4", "val/bbbbbbbbbbb_000005_000015.mp4", "train/ccccccccccc.mp4")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.csv").write_text(
        "label,youtube_id,time_start,time_end,split\narm wrestling,aaaaaaaaaaa,1,11,train\nx,ccccccccccc,3,13,train\n"
        '"gone, alas",ddddddddddd,2,12,train\n'
    )
    (tmp_path / "annotations" / "val.csv").write_text(
        "label,youtube_id,time_start,time_end,split\nx,bbbbbbbbbbb,5,15,validate\n"
    )
    source = open_source(str(tmp_path))
    assert [i.name for i in source.items] == ["train/aaaaaaaaaaa_000001_000011.mp4", "train/ccccccccccc.mp4"]
    assert source.missing[0]["source"] == "ddddddddddd_000002_000012"
    assert "train.csv lists it" in source.missing[0]["reason"]
    assert names(tmp_path, split="val") == ["val/bbbbbbbbbbb_000005_000015.mp4"]
    assert len(open_source(str(tmp_path), split="all").items) == 3


def test_howto100m_matches_its_csv_with_videos_of_any_container(tmp_path):
    touch(tmp_path, "videos/aaaaaaaaaaa.mp4", "videos/-bbbbbbbbbb.webm", "videos/unlisted.mp4")
    (tmp_path / "HowTo100M_v1.csv").write_text(
        "video_id,category_1,category_2,rank,task_id\naaaaaaaaaaa,Food,x,1,2\n-bbbbbbbbbb,Food,x,1,2\n"
        "ccccccccccc,Food,x,1,2\n"
    )
    source = open_source(str(tmp_path))
    assert source.kind == "howto100m"
    assert [i.name for i in source.items] == ["videos/-bbbbbbbbbb.webm", "videos/aaaaaaaaaaa.mp4"]
    assert [entry["source"] for entry in source.missing] == ["ccccccccccc"]
    (tmp_path / "HowTo100M_v1.csv").unlink()
    with pytest.raises(UserError, match="column video_id"):
        open_source(f"howto100m:{tmp_path}")


def test_epic_takes_the_participants_videos_and_leaves_extracted_frames_alone(tmp_path):
    touch(tmp_path, "P01/videos/P01_01.MP4", "P01/rgb_frames/P01_01/frame_0000000001.jpg", "P02/videos/P02_101.MP4")
    assert names(tmp_path) == ["P01/videos/P01_01.MP4", "P02/videos/P02_101.MP4"]
    (tmp_path / "EPIC_100_video_info.csv").write_text(
        "video_id,duration,fps,resolution\nP01_01,1,60,x\nP02_101,1,50,x\nP03_03,1,50,x\n"
    )
    assert [entry["source"] for entry in open_source(str(tmp_path)).missing] == ["P03_03"]
    touch(tmp_path / "old", "videos/train/P01/P01_01.MP4")
    assert open_source(str(tmp_path / "old")).kind == "epic"


def ego4d(root):
    (root / "ego4d.json").parent.mkdir(parents=True, exist_ok=True)
    (root / "ego4d.json").write_text(
        json.dumps(
            {
                "version": "v2",
                "videos": [
                    {"video_uid": UID[0], "clips": [{"clip_uid": UID[2]}, {"clip_uid": None}]},
                    {"video_uid": UID[1], "clips": None},
                ],
            }
        )
    )


@pytest.mark.parametrize("place", ["full_scale", "v2/full_scale", "v1/video_540ss"])
def test_ego4d_maps_uids_to_files_and_names_the_missing(tmp_path, place):
    ego4d(tmp_path)
    touch(tmp_path, f"{place}/{UID[0]}.mp4", f"{place}/manifest.csv", f"{place}/{UID[3]}.mp4")
    source = open_source(str(tmp_path))
    assert source.kind == "ego4d" and [i.name for i in source.items] == [f"{place}/{UID[0]}.mp4"]
    assert [entry["source"] for entry in source.missing] == [UID[1]]
    assert "ego4d.json lists it" in source.missing[0]["reason"]


def test_ego4d_clips_go_by_clip_uid_from_their_own_folder_too(tmp_path):
    ego4d(tmp_path)
    touch(tmp_path, f"v2/clips/{UID[2]}.mp4", f"v2/full_scale/{UID[0]}.mp4")
    with pytest.raises(UserError, match="found v2/full_scale, v2/clips; give the one to read"):
        open_source(str(tmp_path))
    assert names(tmp_path / "v2" / "clips") == [f"{UID[2]}.mp4"]
    (tmp_path / "ego4d.json").write_text('{"videos": 3}')
    with pytest.raises(UserError, match="not Ego4D's metadata"):
        open_source(str(tmp_path / "v2" / "clips"))
