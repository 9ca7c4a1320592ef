"""The readers of foreign demonstrations show pictures and videos upright, as a viewer does."""

import io

import numpy as np
import pytest
from PIL import Image

from demos.formats import lerobot_parquet, rlds
from demos.formats.source import Options
from demos.formats.video import read_span
from tests.demos.foreign_sets import write_rpt
from tests.video.films import MATRICES, corners, quarters, with_display_matrix, write_film

SHOWN = {1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB"}
"""EXIF orientation → how a viewer shows the four quarters RGBW."""


def encoded(orientation):
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quarters(32)).save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_lerobot_pictures_and_videos_come_upright(tmp_path, orientation):
    pyarrow = pytest.importorskip("pyarrow")
    column = pyarrow.array([{"bytes": encoded(orientation), "path": "a.png"}])
    assert corners(lerobot_parquet.pictures(column, "here")[0]) == SHOWN[orientation]
    film = write_film(tmp_path / "a.mp4", quarters()[None].repeat(3, 0))
    with_display_matrix(film, *MATRICES[orientation])
    assert corners(read_span(film, 0.0, 10, 3)[2]) == SHOWN[orientation]


def test_rlds_pictures_come_upright(tmp_path):
    steps = {"q": np.zeros((3, 7)), "grip": [1, 1, 1], "task": "t", "size": (32, 32)}
    write_rpt(tmp_path / "set", [{**steps, "image": [encoded(n) for n in (5, 6, 7)]}])
    ((episode, _),) = rlds.read(tmp_path / "set", Options()).episodes()
    assert [corners(frame) for frame in episode["rgb_hand_image"]] == [SHOWN[n] for n in (5, 6, 7)]
