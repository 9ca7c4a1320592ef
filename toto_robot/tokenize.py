"""Turn videos (and pictures) into a token store that pretraining reads.

    python -m toto_robot.tokenize VIDEO_FOLDER STORE tokenizer=toto_tiny
    python -m toto_robot.tokenize VIDEO_FOLDER STORE_VAL tokenizer=FOLDER part=held_out
    python -m toto_robot.tokenize source=kinetics:K600 out=STORE
    torchrun --nproc-per-node=8 -m toto_robot.tokenize source=EGO4D out=STORE
    python -m toto_robot.tokenize verify STORE

Every video of the source is decoded, scaled to the shortest side and cropped, cut into clips of 16 frames
0.133 s apart, and encoded by the dVAE; pictures fill rows by sixteens. A source is any folder of videos, or a data
set in its own layout: ImageNet, Kinetics, Ego4D, EPIC-Kitchens, HowTo100M, WebDataset tars, LeRobot.

A file that does not decode, crashes its decoder, or is too short, is left out, named on stderr and recorded in the
store with its reason; files that a data set lists and doesn't hold go to missing.jsonl beside it. A killed job goes on
where it stopped when the same command is given again; a finished one costs nothing to repeat. `verify` reads a
store back and names each shard that is not what was written (exit code 1).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from toto_robot import command
from toto_robot.ground.errors import UserError
from toto_robot.tokens.store.build import Progress, TokenizeConfig, build_store
from toto_robot.tokens.store.token_store import damage_report, damaged_shards, read_index

EVERY_S = 10.0  # between lines of progress in a log


class Incomplete(UserError):
    """The work is done, and not all of it is as it should be."""

    exit_code = 1


def main(cfg: TokenizeConfig) -> dict:
    """Build or complete the store; returns rows, files, files left out, and the store's fingerprint."""
    if cfg.source == "verify":
        return verify(Path(cfg.out))
    with progress_on(Console(stderr=True)) as tell:
        result = build_store(cfg, tell)
    failed = result.get("failed", 0) + result.get("missing", 0)
    if cfg.strict and failed:
        command.print_json(result)
        raise Incomplete(
            f"{failed} files could not be read or are missing ({cfg.out} names them); "
            "mend or remove them, or leave out strict=true"
        )
    return result


@contextmanager
def progress_on(console: Console) -> Iterator[Callable[[Progress], None]]:
    """What shows progress: a bar on a terminal, a line every `EVERY_S` seconds in a log or a pipe."""
    columns = (TextColumn("tokenizing"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        job, last_s = bar.add_task("starting", total=None), -EVERY_S

        def tell(p: Progress) -> None:
            nonlocal last_s
            said = f"{p.shards}/{p.of_shards} shards, {p.frames_per_s:.1f} frames/s"
            bar.update(job, completed=p.bytes, total=p.of_bytes, description=said)
            if not console.is_terminal and time.monotonic() - last_s >= EVERY_S:
                last_s = time.monotonic()
                left = f"{p.left_s / 60:.1f} min left" if p.bytes else "starting"
                console.print(f"tokenizing: {said}, {left}", highlight=False, soft_wrap=True)

        yield tell


def verify(store: Path) -> dict:
    """Check every shard of a store against its index; Incomplete names each damaged one."""
    shards, damaged = len(read_index(store)["shards"]), damaged_shards(store)
    result = {"store": str(store), "shards": shards, "damaged": damaged}
    if damaged:
        command.print_json(result)
        raise Incomplete(damage_report(store, damaged))
    return result


if __name__ == "__main__":
    command.run(main, TokenizeConfig, "tokenize", positional=("source", "out"))
