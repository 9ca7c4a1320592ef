"""Turn videos (and pictures) into a token store that pretraining reads.

    python -m toto_robot.tokenize VIDEO_FOLDER STORE tokenizer=toto_tiny
    python -m toto_robot.tokenize VIDEO_FOLDER STORE_VAL tokenizer=FOLDER part=held_out

Every video under the folder is decoded, scaled to the shortest side and cropped, cut into clips of 16 frames
0.133 s apart, and encoded by the dVAE; pictures fill rows by sixteens. A file that does not decode, or is
too short, is left out, named on stderr and recorded in the store with its reason. A killed job goes on where it
stopped when the same command is given again; a finished one costs nothing to repeat.
"""
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from toto_robot import door
from toto_robot.tokens.build import TokenizeConfig, build_store


def main(cfg: TokenizeConfig) -> dict:
    """Build or complete the store; returns rows, files, files left out, and the store's fingerprint."""
    columns = (TextColumn("tokenizing"), BarColumn(), MofNCompleteColumn(), TextColumn("shards"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        job = bar.add_task("", total=None)
        return build_store(cfg, lambda done, total: bar.update(job, completed=done, total=total))


if __name__ == "__main__":
    door.run(main, TokenizeConfig, "tokenize", positional=("source", "out"))
