"""Folders with blanks, quotes, `=`, brackets, a colon or other alphabets in their names work like any other."""

import numpy as np
import pytest

from demos import inspect
from demos.convert import ConvertConfig
from demos.convert import main as convert
from demos.formats import robomimic_hdf5
from demos.formats.source import Options
from tests.demos.foreign_sets import episode, make
from toto_robot.command import compose
from toto_robot.ground.screen import Bar
from toto_robot.video.decode import read_frames, write_video

ODD = ["John's kitchen/lr=0.1/[bold] [a]/日本 ümlaut", 'a "b" c/cam:1/back\\slash/a,b {c}']


@pytest.mark.parametrize("name", ODD)
def test_a_set_is_converted_and_a_video_written_in_a_folder_of_any_name(tmp_path, name, capsys):
    pytest.importorskip("h5py")
    folder = tmp_path / name
    folder.mkdir(parents=True)
    robomimic_hdf5.write(make([episode(np.random.default_rng(0), 4)]), folder / "set.hdf5", Options())
    argv = [str(folder / "set.hdf5"), str(folder / "out set.zarr"), "to=zarr"]
    convert(compose(ConvertConfig, "convert", argv, ("src", "dst")))
    assert sorted(p.name for p in folder.iterdir()) == ["out set.zarr", "set.hdf5"]
    inspect.main(compose(inspect.InspectConfig, "inspect", [argv[1]], ("path",)))
    film = write_video(folder / "a.mp4", np.zeros((3, 32, 32, 3), np.uint8), fps=10)
    assert len(read_frames(film, 32)[0]) == 3
    with Bar("reading", 1) as bar:
        bar.say(argv[1])
    assert argv[1] in capsys.readouterr().err
