"""Predict the position of the cube from frozen features, for every layer and pooling.

    python -m toto_robot.probe data=probe.npz encoder=toto_tiny out=runs/probe

`data` is an .npz with frames uint8 (N, 128, 128, 3), cube_in_hand_m float32 (N, 3) and episode int (N,). For each layer
a ridge regression predicts the position from the mean and from the flattened 4×4 grid, and a learned query predicts it
from the grid. A quarter of the episodes is held out. The same is done for random weights and for the codes without
Toto, unless controls=false. The command writes probe.json, probe.md and probe.png to `out`.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import MISSING

import toto_robot
from toto_robot import command
from toto_robot.evaluation.probe import codes_of, error_mm, load_probe_data, probe, split
from toto_robot.evaluation.report import best, table, write_report
from toto_robot.ground.errors import expected


@dataclass
class ProbeConfig:
    """Settings of `python -m toto_robot.probe`."""

    data: str = MISSING
    """The .npz with frames and positions."""
    encoder: str = "toto_tiny"
    """Name of an encoder, or a model folder."""
    controls: bool = True
    """Also probe the same architecture with random weights, and the codes without Toto."""
    held_out: float = 0.25
    """Share of the episodes that is held out."""
    seed: int = 0
    """Seed of the split and of the learned query."""
    dtype: str = "auto"
    """The transformer's dtype: bfloat16, float32, or auto: bfloat16 if the processor multiplies it in hardware."""
    device: str = "cpu"
    """Where the encoder runs: cpu or cuda."""
    threads: int | None = None
    """CPU threads; by default all cores."""
    out: str = "runs/probe"
    """Folder for the results."""

    def __post_init__(self):
        if not 0 < self.held_out < 1:
            raise expected("held_out", "a share between 0 and 1", self.held_out)

    def encoders(self) -> list[str]:
        """The encoder and its controls."""
        if not self.controls or self.encoder in ("dvae_codes", "toto_tiny_random"):
            return [self.encoder]
        if self.encoder == "toto_tiny":
            return ["toto_tiny", "toto_tiny_random", "dvae_codes"]
        return [self.encoder, f"{self.encoder}:random", f"{self.encoder}:codes"]


def main(cfg: ProbeConfig) -> dict:
    """Probe the encoder and its controls, and write the report. Returns the best layer and pooling."""
    torch.set_num_threads(cfg.threads or os.cpu_count() or 1)
    data = load_probe_data(cfg.data)
    encoders = {
        name: toto_robot.load_encoder(name, pooling="grid", dtype=cfg.dtype, device=cfg.device)
        for name in cfg.encoders()
    }
    scores, codes = [], {}
    for name, encoder in encoders.items():
        tokenizer = encoder.tokenizer.fingerprint()
        if tokenizer not in codes:
            codes[tokenizer] = codes_of(encoder, data.frames)
        for score in probe(name, encoder, data, codes=codes[tokenizer], held_out=cfg.held_out, seed=cfg.seed):
            scores.append(score)
            print(
                f"{name} layer {score.layer} {score.pooling}: R² {score.r2:.3f}, {score.error_mm:.1f} mm",
                file=sys.stderr,
            )
    train, test = split(data.episode, cfg.held_out, cfg.seed)
    truth = torch.from_numpy(data.cube_in_hand_m)
    guess = error_mm(truth[train].mean(dim=0), truth[test])
    facts = {
        "frames": len(data.frames),
        "episodes": len(set(data.episode.tolist())),
        "held_out_frames": int(test.sum()),
        "guess_mm": round(guess, 2),
    }
    write_report(Path(cfg.out), scores, facts)
    print(table(scores), file=sys.stderr)
    top = best([score for score in scores if score.encoder == cfg.encoder])
    return {
        **facts,
        "encoder": cfg.encoder,
        "best_layer": top.layer,
        "best_pooling": top.pooling,
        "r2": round(top.r2, 4),
        "error_mm": round(top.error_mm, 2),
        "out": cfg.out,
    }


if __name__ == "__main__":
    command.run(main, ProbeConfig, "probe", positional=("data", "out"))
