"""Turn videos (and pictures) into a token store that pretraining reads.

    python -m toto_robot.tokenize VIDEO_FOLDER STORE tokenizer=toto_tiny
    python -m toto_robot.tokenize VIDEO_FOLDER STORE_VAL tokenizer=FOLDER part=held_out
    python -m toto_robot.tokenize source=kinetics:K600 out=STORE
    torchrun --nproc-per-node=8 -m toto_robot.tokenize source=EGO4D out=STORE
    python -m toto_robot.tokenize verify STORE

The command decodes every video of the source, scales its shorter side, crops the centre, cuts it into clips of 16
frames 0.133 s apart, and encodes them. Sixteen pictures make a row. A source is any folder of videos, or a data set in
its own layout: ImageNet, Kinetics, Ego4D, EPIC-Kitchens, HowTo100M, WebDataset tars, LeRobot.

A file is left out if it does not decode, crashes its decoder, or is too short. It is named on stderr and recorded in
the store with the reason. Files that a data set lists but does not hold go to missing.jsonl in the store. Give the same
command again to continue a killed job; repeating a finished one costs nothing. `verify` reads a store and names each
shard that is not what was written (exit code 1).
"""

from pathlib import Path

from toto_robot import command
from toto_robot.ground.errors import UserError
from toto_robot.ground.screen import Bar
from toto_robot.tokens.store.build import Progress, TokenizeConfig, build_store
from toto_robot.tokens.store.token_store import damage_report, damaged_shards, read_index


class Incomplete(UserError):
    """The work is done, but something in it is missing or damaged."""

    exit_code = 1


def main(cfg: TokenizeConfig) -> dict:
    """Build or complete the store. Returns rows, files, files left out, and the fingerprint of the store."""
    if cfg.source == "verify":
        return verify(Path(cfg.out))
    with Bar("tokenizing", None, counted=False) as bar:
        result = build_store(cfg, lambda progress: show(bar, progress))
    failed = result.get("failed", 0) + result.get("missing", 0)
    if cfg.strict and failed:
        command.print_json(result)
        raise Incomplete(
            f"{failed} files could not be read or are missing ({cfg.out} names them). "
            "Repair or remove them, or leave strict=true out."
        )
    return result


def show(bar: Bar, p: Progress) -> None:
    """Show how far the job is."""
    said = f"{p.shards}/{p.of_shards} shards, {p.frames_per_s:.1f} frames/s"
    left = f"{p.left_s / 60:.1f} min left" if p.bytes else "starting"
    bar.at(p.bytes, said, total=p.of_bytes, line=f"tokenizing: {said}, {left}")


def verify(store: Path) -> dict:
    """Check every shard of a store against its index. Raises Incomplete, which names each damaged shard."""
    shards, damaged = len(read_index(store)["shards"]), damaged_shards(store)
    result = {"store": str(store), "shards": shards, "damaged": damaged}
    if damaged:
        command.print_json(result)
        raise Incomplete(damage_report(store, damaged))
    return result


if __name__ == "__main__":
    command.run(main, TokenizeConfig, "tokenize", positional=("source", "out"))
