"""Train a dVAE, the tokenizer of frames, on a folder of videos.

    python -m toto_robot.train_dvae data/clips data/dvae
    python -m toto_robot.train_dvae data/clips data/dvae more=data/real_clips more_share=0.15 steps=12000

The official DALL·E architecture at a small size, with its Gumbel-softmax objective, started from
k-means codes so that minutes on a CPU are enough (see toto_robot/tokens/train_dvae.py). Writes the averaged
weights, scores on held-out videos beside the block-mean picture, a log, and a picture of reconstructions.
A killed run goes on with resume=true.
"""
from toto_robot import door
from toto_robot.tokens.train_dvae import TrainDVAEConfig, train_dvae
from toto_robot.tokens.training import on_screen


def main(cfg: TrainDVAEConfig) -> dict:
    """Train and score; returns psnr, psnr_block_mean (dB), codes_used, usage, perplexity."""
    return on_screen("dVAE", cfg, train_dvae)


if __name__ == "__main__":
    door.run(main, TrainDVAEConfig, "train_dvae", positional=("videos", "out"))
