"""Complete a clip: some frames are given, and Toto predicts the rest.

    python -m toto_robot.generate video.mp4 frames=4 [encoder=runs/toto/model] [out=completed]

The command writes OUT.mp4, with the truth, the truth encoded and decoded, and the predictions side by side. It writes
OUT.png, with a row for each of them and a gap where the prediction begins.
"""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

import toto_robot
from toto_robot import command
from toto_robot.evaluation.completion import complete, load_clip, save_completion
from toto_robot.ground.errors import UserError, expected


@dataclass
class GenerateConfig:
    """Settings of `python -m toto_robot.generate`."""

    clip: str = MISSING
    """The video to continue."""
    frames: int = 4
    """Number of given frames."""
    total: int = 16
    """Number of all frames. A row of training has 16."""
    start_s: float = 0.0
    """Time in the video at which the clip begins, in seconds."""
    samples: int = 2
    """Number of predictions."""
    temperature: float = 1.0
    """Divides the logits. 0 takes the most likely token each time."""
    top_p: float = 0.9
    """Draws from the fewest most likely tokens whose probabilities add up to this."""
    encoder: str = "toto_tiny"
    """Name of an encoder, or a model folder."""
    seed: int = 0
    """Seed of the draws."""
    dtype: str = "auto"
    """bfloat16, float32, or auto: bfloat16 if the processor multiplies it in hardware."""
    device: str = "cpu"
    """Where the model runs: cpu or cuda."""
    out: str = "completed"
    """Files to write, without the suffix."""

    def __post_init__(self):
        if self.samples < 1 or self.total < 2:
            raise UserError(f"samples must be at least 1 and total at least 2, got {self.samples} and {self.total}.")
        if self.start_s < 0:
            raise expected("start_s", "at least 0", self.start_s)


def main(cfg: GenerateConfig) -> dict:
    """Predict and write both files. Returns their paths and the share of correct codes."""
    encoder = toto_robot.load_encoder(cfg.encoder, dtype=cfg.dtype, device=cfg.device)
    if encoder.toto is None:
        raise UserError(f"{cfg.encoder} has no Toto to predict with. Give a model folder or toto_tiny.")
    clip = load_clip(cfg.clip, cfg.total, encoder.image_size, cfg.start_s)
    done = complete(
        encoder, clip, cfg.frames, samples=cfg.samples, temperature=cfg.temperature, top_p=cfg.top_p, seed=cfg.seed
    )
    video, picture = save_completion(done, Path(cfg.out))
    return {
        "video": str(video),
        "picture": str(picture),
        "given": cfg.frames,
        "predicted": cfg.total - cfg.frames,
        "token_accuracy": round(done.accuracy, 4),
    }


if __name__ == "__main__":
    command.run(main, GenerateConfig, "generate", positional=("clip",))
