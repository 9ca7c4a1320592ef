"""A video of the first eight evaluation rollouts: 2 rows of 4, the wrist's view beside a view from the side."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toto_robot.ground.atomic import atomic_write_bytes
from toto_robot.video.decode import write_video

ROWS, COLUMNS, SIZE, BORDER = 2, 4, 128, 6
RUNNING, SUCCEEDED, FAILED = (90, 90, 90), (40, 170, 70), (200, 50, 50)
"""Border colours (RGB)."""


class Recorder:
    """Collects frames of episodes 0 to 7 while `rollout.evaluate` shows them; `save` writes the tiled video.

    A tile shows the wrist camera's frame (`obs["rgb"]`) at the left and `vec.render(slot, "side", ...)` at the right.
    Its border is grey while the episode runs, then green or red. Its last frame stays until all episodes have ended.
    """

    def __init__(self, tiles: int = ROWS * COLUMNS):
        self.frames: list[list[np.ndarray]] = [[] for _ in range(tiles)]

    def see(self, vec: Any, slot: int, episode: int, obs: dict, done: bool, success: bool) -> None:
        if episode < len(self.frames):
            side = vec.render(slot, camera="side", width=SIZE, height=SIZE)
            wrist = obs["rgb"][slot] if "rgb" in obs else np.zeros((SIZE, SIZE, 3), np.uint8)
            colour = RUNNING if not done else SUCCEEDED if success else FAILED
            self.frames[episode].append(_tile(_square(wrist), _square(side), colour))

    def video(self) -> np.ndarray:
        """The tiled frames, uint8 (N, H, W, 3). N is the longest episode's length plus one second."""
        black = np.zeros((SIZE, SIZE, 3), np.uint8)
        blank = _tile(black, black, (0, 0, 0))
        length = max((len(f) for f in self.frames), default=0)
        columns = min(COLUMNS, len(self.frames))
        padded = [f + [f[-1] if f else blank] * (length + 20 - len(f)) for f in self.frames]
        padded += [[blank] * (length + 20)] * (-len(padded) % columns)
        rows = [padded[i : i + columns] for i in range(0, len(padded), columns)]
        return np.stack(
            [np.concatenate([np.concatenate([t[i] for t in row], 1) for row in rows], 0) for i in range(length + 20)]
        )

    def sheet(self, episodes: int = 3, moments: int = 5) -> np.ndarray:
        """A still picture: `moments` tiles, evenly spaced in time, for each of the first `episodes` rollouts."""
        shown = [f for f in self.frames if f][:episodes]
        rows = [[f[round(i * (len(f) - 1) / (moments - 1))] for i in range(moments)] for f in shown]
        return np.concatenate([np.concatenate(row, 1) for row in rows], 0)

    def save(self, path: str | Path, fps: float) -> None:
        """Write the video as an MP4, and the sheet beside it as a PNG. Writes nothing if no episode was shown."""
        if any(self.frames):
            write_video(path, self.video(), fps)
            buffer = io.BytesIO()
            Image.fromarray(self.sheet()).save(buffer, "PNG")
            atomic_write_bytes(Path(path).with_suffix(".png"), buffer.getvalue())


def _tile(left: np.ndarray, right: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    tile = np.empty((SIZE + 2 * BORDER, 2 * SIZE + 2 * BORDER, 3), np.uint8)
    tile[:] = colour
    tile[BORDER:-BORDER, BORDER:-BORDER] = np.concatenate([left, right], 1)
    return tile


def _square(frame: np.ndarray) -> np.ndarray:
    """`frame` (H, W, 3) sampled to SIZE × SIZE by nearest neighbour. Most frames already have that size."""
    h, w, _ = frame.shape
    if (h, w) == (SIZE, SIZE):
        return frame
    return frame[(np.arange(SIZE) * h // SIZE)[:, None], np.arange(SIZE) * w // SIZE]
