"""Real clips are sorted by repository, and whole repositories are held out."""

import runpy
from pathlib import Path

import yaml

RECIPES = Path(__file__).parent.parent / "recipes"


def test_whole_repositories_are_held_out_and_a_clip_without_a_row_belongs_to_its_folder(tmp_path):
    clips = tmp_path / "videos" / "more"
    (tmp_path / "videos" / "wrist").mkdir(parents=True)
    clips.mkdir()
    for path in (clips / "a.mp4", clips / "b.mp4", clips / "c.mp4", tmp_path / "videos" / "wrist" / "d.gif"):
        path.write_bytes(b"film")
    (clips / "sources.csv").write_text("file,repository\na.mp4,UT-Austin-RPL/MUTEX\nb.mp4,zcczhang/UVD\n")
    main = runpy.run_path(str(RECIPES / "real_clips.py"))["main"]
    for _ in range(2):  # a second run changes nothing
        main(str(tmp_path / "videos"), str(tmp_path / "out"))
        found = {
            path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_symlink()
        }
        assert found == {
            "held_out/UT-Austin-RPL_MUTEX/a.mp4",
            "train/zcczhang_UVD/b.mp4",
            "train/more/c.mp4",
            "train/wrist/d.gif",
        }
    assert (tmp_path / "out/train/zcczhang_UVD/b.mp4").read_bytes() == b"film"


def test_no_held_out_repository_has_a_licence_entry_for_training():
    held_out = runpy.run_path(str(RECIPES / "real_clips.py"))["HELD_OUT"]
    listed = yaml.safe_load((RECIPES / "real_clips.yaml").read_text())
    assert not {entry["repository"] for entry in listed.values()} & set(held_out)
