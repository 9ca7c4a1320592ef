"""Train a Toto model on token stores.

    python -m toto_robot.pretrain stores=[data/tokens] tokenizer=data/dvae model=tiny out=runs/toto

Predicts the next token of rows of 16 frames × 256 ids. Progress goes to stderr, with TensorBoard and JSON-lines
logs and checkpoints in the run's folder; at the end there are a model folder (out/model, which
`toto_robot.load_encoder` reads) and the loss curve (out/loss.png). Ctrl-C saves before it stops; the same command
with resume=true goes on, and gives the same weights bit for bit as a run that was never stopped.
"""

from toto_robot import command
from toto_robot.pretraining.config import PretrainConfig
from toto_robot.pretraining.loop import pretrain


def main(cfg: PretrainConfig) -> dict:
    return pretrain(cfg)


if __name__ == "__main__":
    command.run(main, PretrainConfig, "pretrain")
