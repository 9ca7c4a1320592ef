"""Train a tokenizer of the VQGAN's layout on a folder of videos.

    python -m toto_robot.train_vqgan data/clips data/vqgan
    python -m toto_robot.train_vqgan data/clips data/vqgan more=data/real_clips more_share=0.15 steps=4000

Vector quantization with k-means codes to start from; without the perceptual and adversarial losses of a full VQGAN (see
toto_robot/tokens/training/vqgan.py). Writes the averaged weights, scores on held-out videos beside the block-mean picture,
a log, and a picture of reconstructions. A killed run goes on with resume=true. The authors' own checkpoints load as
they are (tokenizer=path/to/last.ckpt in any command).
"""

from toto_robot import command
from toto_robot.tokens.training.trainer import on_screen
from toto_robot.tokens.training.vqgan import TrainVQGANConfig, train_vqgan


def main(cfg: TrainVQGANConfig) -> dict:
    """Train and score; returns psnr, psnr_block_mean (dB), codes_used, usage, perplexity."""
    return on_screen("VQGAN", cfg, train_vqgan)


if __name__ == "__main__":
    command.run(main, TrainVQGANConfig, "train_vqgan", positional=("videos", "out"))
