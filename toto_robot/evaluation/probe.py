"""Compare layers and poolings: how well a small probe predicts the position of the cube from frozen features.

For mean and grid the probe is a ridge regression on standardised features. For attention it is a learned query and a
linear layer, which a policy learns too. The split is by episode, so that no held-out frame has a neighbour in training.
"""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from toto_robot.features.encoder import Encoder
from toto_robot.features.pooling import PROBED
from toto_robot.ground.errors import UserError, expected
from toto_robot.video.frames import check_frames

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Penalties to choose from, in units of the number of training frames."""
QUERIES = 4
STEPS, BATCH, LR = 600, 256, 1e-2
"""Training of the attention probe."""


@dataclass
class ProbeData:
    """Rendered frames, and the positions of the cube."""

    frames: np.ndarray
    """uint8 (N, H, W, 3)."""
    cube_in_hand_m: np.ndarray
    """float32 (N, 3): the centre of the cube in the frame of the hand."""
    episode: np.ndarray
    """int (N,): the frames of one episode stay on one side of the split."""


@dataclass(frozen=True)
class Score:
    """The result of a probe on held-out episodes."""

    encoder: str
    """Name of the encoder."""
    layer: int
    """Layer, counted from 1. 0 is the codebook."""
    pooling: str
    """mean, attention or grid."""
    r2: float
    """1 − squared error / variance, over the three axes together."""
    error_mm: float
    """Mean distance between prediction and truth."""


def load_probe_data(path: str | Path) -> ProbeData:
    """Read an .npz with frames, cube_in_hand_m and episode. Raises UserError, which says what is missing or wrong."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path}. data= takes an .npz with frames, cube_in_hand_m and episode.")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ("frames", "cube_in_hand_m", "episode") if name not in file]
            if missing:
                raise UserError(f"{path} has no {', '.join(missing)}; it has {', '.join(file.files) or 'nothing'}.")
            data = ProbeData(file["frames"], file["cube_in_hand_m"].astype(np.float32), file["episode"])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is truncated or not an .npz file ({error}). Make it again.") from error
    check_frames(data.frames, what=f"frames in {path}")
    n = len(data.frames)
    if data.cube_in_hand_m.shape != (n, 3) or data.episode.shape != (n,):
        got = f"{data.cube_in_hand_m.shape} and {data.episode.shape}"
        raise expected(str(path), f"cube_in_hand_m ({n}, 3) and episode ({n},) for {n} frames", got)
    if not np.isfinite(data.cube_in_hand_m).all():
        raise UserError(f"{path}: cube_in_hand_m has values that are not finite. Make it again.")
    if len(np.unique(data.episode)) < 4:
        raise UserError(f"{path}: a split needs at least 4 episodes, but there are {len(np.unique(data.episode))}.")
    return data


def split(episode: np.ndarray, part: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boolean masks (N,), training and held out. About `part` of the episodes are held out, at least one."""
    episodes = np.random.default_rng(seed).permutation(np.unique(episode))
    held_out = np.isin(episode, episodes[: max(1, round(part * len(episodes)))])
    return ~held_out, held_out


def codes_of(encoder: Encoder, frames: np.ndarray) -> Tensor:
    """Token codes int64 (N, S) of frames uint8 (N, H, W, 3), computed 64 frames at a time."""
    return torch.cat([encoder.codes(frames[i : i + 64]) for i in range(0, len(frames), 64)])


def probe(
    name: str, encoder: Encoder, data: ProbeData, *, codes: Tensor | None = None, held_out: float = 0.25, seed: int = 0
) -> Iterator[Score]:
    """Scores for every layer and pooling. `encoder` must pool to a grid, because the mean of the cells is the mean.

    `codes` (N, S) are the token codes of the frames, for encoders that share a tokenizer. None computes them.
    """
    if encoder.pooling != "grid":
        raise ValueError(f"a probe needs an encoder with pooling grid, but this one has {encoder.pooling}")
    codes = codes_of(encoder, data.frames) if codes is None else codes
    grids = torch.cat([encoder.every_layer(part).cpu() for part in codes.split(64)], dim=1)
    train, test = (torch.from_numpy(mask) for mask in split(data.episode, held_out, seed))
    inner_train, inner_test = (torch.from_numpy(m) for m in split(data.episode[train.numpy()], held_out, seed + 1))
    target = torch.from_numpy(data.cube_in_hand_m)
    for i, grid in enumerate(grids):
        layer = i + 1 if encoder.num_layers else 0
        for pooling in PROBED:
            if pooling == "attention":
                predicted = attention_probe(grid[train], target[train], grid[test], seed)
            else:
                x = grid.mean(dim=1) if pooling == "mean" else grid.flatten(1)
                predicted = ridge_probe(x[train], target[train], x[test], inner_train, inner_test)
            yield Score(name, layer, pooling, r2(predicted, target[test]), error_mm(predicted, target[test]))


def r2(predicted: Tensor, truth: Tensor) -> float:
    """1 − Σ squared error / Σ squared distance from the mean, over the three axes of (N, 3) together."""
    return 1 - float((predicted - truth).square().sum() / (truth - truth.mean(dim=0)).square().sum())


def error_mm(predicted_m: Tensor, truth_m: Tensor) -> float:
    """Mean Euclidean distance of two (N, 3) in metres, returned in millimetres."""
    return 1000 * float((predicted_m - truth_m).norm(dim=1).mean())


def ridge_probe(x: Tensor, y: Tensor, x_test: Tensor, inner_train: Tensor, inner_test: Tensor) -> Tensor:
    """Ridge regression. The penalty is the one with the smallest error on an inner split of the training episodes."""
    errors = {}
    solver = Ridge(x[inner_train], y[inner_train])
    for penalty in RIDGES:
        errors[penalty] = error_mm(solver.fit(penalty).predict(x[inner_test]), y[inner_test])
    return Ridge(x, y).fit(min(errors, key=errors.__getitem__)).predict(x_test)


class Ridge:
    """Least squares on standardised features with an L2 penalty, in float64.

    It is solved in the smaller of the two spaces, features or samples. A feature may hardly vary, for example in a cell
    that always shows the same. It is divided by at least a tenth of the mean deviation, so that its noise isn't
    amplified.
    """

    def __init__(self, x: Tensor, y: Tensor):
        std = x.std(dim=0)
        self.mean, self.std, self.offset = x.mean(dim=0), std.clamp_min(0.1 * std.mean() + 1e-6), y.mean(dim=0).double()
        self.x, self.y = self._standard(x), y.double() - self.offset
        self.wide = x.shape[1] > x.shape[0]
        self.gram = self.x @ self.x.T if self.wide else self.x.T @ self.x
        self.right = self.y if self.wide else self.x.T @ self.y

    def fit(self, penalty: float) -> "Ridge":
        """Solve for `penalty` times the number of samples."""
        identity = torch.eye(len(self.gram), dtype=self.gram.dtype)
        solved = torch.cholesky_solve(self.right, torch.linalg.cholesky(self.gram + penalty * len(self.x) * identity))
        self.weights = self.x.T @ solved if self.wide else solved
        return self

    def predict(self, x: Tensor) -> Tensor:
        return (self._standard(x) @ self.weights + self.offset).float()

    def _standard(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.std).double()


class AttentionReadout(nn.Module):
    """Learned queries over the cells of a grid (B, 16, D) with a learned position for each, then a linear layer."""

    def __init__(self, cells: int, dim: int, outputs: int):
        super().__init__()
        self.place = nn.Parameter(torch.randn(cells, dim) * 0.5)
        self.query = nn.Parameter(torch.randn(QUERIES, dim) * dim**-0.5)
        self.out = nn.Linear(QUERIES * dim, outputs)

    def forward(self, grid_BSD: Tensor) -> Tensor:
        x_BSD = grid_BSD + self.place
        attention_BQS = (x_BSD @ self.query.T).transpose(1, 2).softmax(dim=-1)
        return self.out((attention_BQS @ x_BSD).flatten(1))


def attention_probe(x: Tensor, y: Tensor, x_test: Tensor, seed: int) -> Tensor:
    """Train `AttentionReadout` on standardised features and targets. Returns predictions (N_test, 3)."""
    mean, std = x.mean(dim=(0, 1)), x.std(dim=(0, 1)) + 1e-6
    x, x_test = (x - mean) / std, (x_test - mean) / std
    offset, scale = y.mean(dim=0), y.std(dim=0) + 1e-6
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AttentionReadout(x.shape[1], x.shape[2], y.shape[1])
        optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS)
        for _ in range(STEPS):
            chosen = torch.randint(len(x), (BATCH,))
            loss = nn.functional.mse_loss(model(x[chosen]), (y[chosen] - offset) / scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        return model(x_test) * scale + offset
