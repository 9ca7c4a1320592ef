"""Train a dVAE, the tokenizer of frames, on a folder of videos.

    python -m toto_robot.train_dvae data/clips data/dvae
    python -m toto_robot.train_dvae data/clips data/dvae more=data/real_clips more_share=0.15 steps=12000

The official DALL·E architecture at a small size, with its Gumbel-softmax objective, started from
k-means codes so that minutes on a CPU are enough (see toto_robot/tokens/train_dvae.py). Writes the averaged
weights, scores on held-out videos beside the block-mean picture, a log, and a picture of reconstructions.
A killed run goes on with resume=true.
"""
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from toto_robot import door
from toto_robot.tokens.train_dvae import TrainDVAEConfig, train_dvae


def main(cfg: TrainDVAEConfig) -> dict:
    """Train and score; returns psnr, psnr_block_mean (dB), codes_used, usage, perplexity."""
    console = Console(stderr=True)
    columns = (TextColumn("dVAE"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        job = bar.add_task("reading frames", total=cfg.steps)

        def tell(text: str) -> None:
            bar.update(job, description=text)
            if not text.startswith("reading"):
                console.print(text)

        def show(step: int, values: dict) -> None:
            bar.update(job, completed=step)
            if step % 50 == 0:
                bar.update(job, description=f"{values['phase']}  loss {float(values['nll']):.3f}")

        return train_dvae(cfg, tell, show)


if __name__ == "__main__":
    door.run(main, TrainDVAEConfig, "train_dvae", positional=("videos", "out"))
