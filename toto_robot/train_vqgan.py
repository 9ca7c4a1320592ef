"""Train a tokenizer of the VQGAN's layout on a folder of videos.

    python -m toto_robot.train_vqgan data/clips data/vqgan
    python -m toto_robot.train_vqgan data/clips data/vqgan more=data/real_clips more_share=0.15 steps=4000

It uses vector quantization that starts from k-means codes, without the perceptual and adversarial losses of a full
VQGAN (toto_robot/tokens/training/vqgan.py). The command writes the averaged weights, a log, scores on held-out videos
beside those of the mean colour of each block, and a picture of reconstructions. resume=true continues a killed run. The
checkpoints of the VQGAN's authors load directly (tokenizer=path/to/last.ckpt in any command).
"""

from toto_robot import command
from toto_robot.tokens.training.trainer import on_screen
from toto_robot.tokens.training.vqgan import TrainVQGANConfig, train_vqgan


def main(cfg: TrainVQGANConfig) -> dict:
    """Train and score. Returns psnr and psnr_block_mean in dB, codes_used, usage, perplexity."""
    return on_screen("VQGAN", cfg, train_vqgan)


if __name__ == "__main__":
    command.run(main, TrainVQGANConfig, "train_vqgan", positional=("videos", "out"))
