"""Train a dVAE, the tokenizer of frames, on a folder of videos.

    python -m toto_robot.train_dvae data/clips data/dvae
    python -m toto_robot.train_dvae data/clips data/dvae twins=data/clips_twins more=data/real_clips more_share=0.15

DALL·E's architecture at a small size. Its codes survive another exposure, lamp or colour: the training shows two looks of
each state, with the jitter of a camera (see toto_robot/tokens/training/dvae.py). `twins` is a folder with a second look of each
video, frame for frame, which `python -m toto_robot.render twins=true` makes; without it both looks are the same frame. Writes the averaged
weights, scores on held-out videos beside the block-mean picture, a log, and a picture of reconstructions.
A killed run goes on with resume=true.
"""

from toto_robot import command
from toto_robot.tokens.training.dvae import TrainDVAEConfig, train_dvae
from toto_robot.tokens.training.trainer import on_screen


def main(cfg: TrainDVAEConfig) -> dict:
    """Train and score; returns psnr, psnr_block_mean (dB), codes_used, usage, perplexity."""
    return on_screen("dVAE", cfg, train_dvae)


if __name__ == "__main__":
    command.run(main, TrainDVAEConfig, "train_dvae", positional=("videos", "out"))
