"""Train a dVAE, the tokenizer of frames, on a folder of videos.

    python -m toto_robot.train_dvae data/clips data/dvae
    python -m toto_robot.train_dvae data/clips data/dvae twins=data/clips_twins more=data/real_clips more_share=0.15

It has DALL·E's architecture at a small size. Its codes hardly change with exposure, lamp or colour, because training
shows two looks of each state with the jitter of a camera (toto_robot/tokens/training/dvae.py). `twins` is a folder with
a second look of each video, frame for frame. `python -m toto_robot.render twins=true` makes one. Without it both looks
are the same frame. The command writes the averaged weights, a log, scores on held-out videos beside those of the mean
colour of each block, and a picture of reconstructions. resume=true continues a killed run.
"""

from toto_robot import command
from toto_robot.tokens.training.dvae import train_dvae
from toto_robot.tokens.training.dvae_config import TrainDVAEConfig
from toto_robot.tokens.training.trainer import on_screen


def main(cfg: TrainDVAEConfig) -> dict:
    """Train and score. Returns psnr and psnr_block_mean in dB, codes_used, usage, perplexity."""
    return on_screen("dVAE", cfg, train_dvae)


if __name__ == "__main__":
    command.run(main, TrainDVAEConfig, "train_dvae", positional=("videos", "out"))
