"""Train a Toto model on token stores.

    python -m toto_robot.pretrain stores=[data/tokens] tokenizer=data/dvae model=tiny out=runs/toto

The model learns to predict the next token of rows of 16 frames × 256 ids. The command shows progress on stderr. It
writes TensorBoard and JSON-lines logs and checkpoints to the run's folder; and at the end a model folder (out/model,
which `toto_robot.load_encoder` reads) and the loss curve (out/loss.png). Ctrl-C saves before it stops. The same command
with resume=true continues, and gives the same weights bit for bit as a run that was never stopped.
"""

from toto_robot import command
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.loop import pretrain


def main(cfg: PretrainConfig) -> dict:
    """Train and export. Returns the numbers of the run."""
    return pretrain(cfg)


if __name__ == "__main__":
    command.run(main, PretrainConfig, "pretrain")
