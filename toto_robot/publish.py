"""Put a pre-trained model into toto_robot/weights/ under a name, with a model card that says how it was made.

    python -m toto_robot.publish model=data/toto_tiny/toto/model name=toto_tiny \
        tokenizer_metrics=data/toto_tiny/dvae/metrics.json rendered=data/toto_tiny/clips videos=VIDEO_FOLDER \
        layer=3 pooling=grid

Every figure on the card is read from the files that the training commands wrote. Every real clip is named with its
sha256, and with its repository and licence from recipes/real_clips.yaml.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from toto_robot import command
from toto_robot.features.folder import load_toto, read_folder, save_model
from toto_robot.ground.errors import UserError
from toto_robot.models.causal import CausalModel
from toto_robot.tokens.base import Tokenizer
from toto_robot.tokens.tokenizer import load_tokenizer
from toto_robot.video.decode import find_videos
from toto_robot.weights import LIMIT_MB

WEIGHTS = Path(__file__).parent / "weights"
LICENCES = Path(__file__).parent.parent / "recipes" / "real_clips.yaml"


@dataclass
class PublishConfig:
    """Keys of `python -m toto_robot.publish`."""

    model: str = "???"
    """Model folder that `pretrain` exported."""
    name: str = "???"
    """Name under which it is loaded."""
    tokenizer_metrics: str = "???"
    """metrics.json of the training of the tokenizer."""
    rendered: str = "???"
    """Folder of the rendered clips that were used."""
    videos: str = ""
    """Folder of the real clips that were used, if any."""
    layer: int = 0
    """Default layer of the encoder. 0 keeps the one of the model folder."""
    pooling: str = ""
    """Default pooling. By default the one of the model folder."""
    run: str = ""
    """Folder of the pre-training run, for the card: its compute and its loss by frame; empty leaves them out."""
    looks: str = ""
    """looks.json of `python -m toto_robot.looks` on this model, for the card; empty leaves it out."""
    note: str = ""
    """A sentence for the card about how these weights were made."""
    recipe: str = "recipes/toto_tiny.sh"
    """The recipe that makes it, for the card."""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def real_clips(folder: str) -> list[dict]:
    """Name, sha256, repository and licence of each real clip. Raises UserError for a clip of unknown licence."""
    if not folder:
        return []
    known, rows = yaml.safe_load(LICENCES.read_text()), []
    for path in find_videos(folder, images=True):
        source = next((known[part] for part in path.parts if part in known), None)
        if source is None:
            raise UserError(f"{path}: {LICENCES.name} gives no licence for it. Add it there, or remove the clip.")
        rows.append({"file": path.name, **source, "sha256": sha256(path)})
    return rows


def card(cfg: PublishConfig, notes: dict, scores: dict, toto: CausalModel, tokenizer: Tokenizer) -> str:
    """The text of MODEL_CARD.md."""
    rendered = find_videos(cfg.rendered)
    digest = hashlib.sha256("".join(sha256(p) for p in rendered).encode()).hexdigest()
    sources = "\n".join(
        f"| {name} | {s['frames']} | {s['psnr']:.2f} | {s['psnr_block_mean']:.2f} | {100 * s['usage']:.1f} % |"
        for name, s in [("all", scores), *scores.get("sources", {}).items()]
    )
    clips = "\n".join(
        f"| {c['file']} | {c['repository']} | {c['licence']} | `{c['sha256'][:16]}…` |" for c in real_clips(cfg.videos)
    )
    more = "\n".join(part for part in (_compute(cfg.run), _looks(cfg.looks)) if part)
    facts = "\n".join(f"- {key}: {value}" for key, value in notes.items())
    note = f" {cfg.note}" if cfg.note else ""
    patch, bits = tokenizer.patch, f"{math.log2(tokenizer.vocab_size):.0f}"
    return f"""# {cfg.name}

A small Toto (causal transformer over {tokenizer.kind} tokens of video frames) with its tokenizer, for frozen robot
features. Made by `{cfg.recipe}`.{note} Loads with `toto_robot.load_encoder("{cfg.name}")`.

| part | parameters |
|---|---|
| Toto | {toto.num_parameters:,} |
| {tokenizer.kind} (encoder and decoder) | {sum(p.numel() for p in tokenizer.parameters()):,} |

## Pre-training
{facts}
{more}
## Tokenizer on held-out clips
`block mean` is the same frame with every {patch}×{patch} block replaced by its mean colour (24 bits a block; a code has
{bits}).

| source | frames | PSNR dB | block mean dB | codes in use |
|---|---|---|---|---|
{sources}

## Data
Rendered: {len(rendered)} clips of the wrist camera (`python -m toto_robot.render`), sha256 of their sha256s
`{digest[:16]}…`. {"Real clips:" if clips else "No real clips."}

{"| file | repository | licence | sha256 |" + chr(10) + "|---|---|---|---|" + chr(10) + clips if clips else ""}

## Use and limits
It was trained on two CPU cores with mostly rendered tabletop video of a few minutes. It is good for the simulated tasks
of this repository, and not a general visual representation. It was never trained on evaluation seeds. Licence:
Apache-2.0.
"""


def _compute(run: str) -> str:
    """What a pre-training run cost, and its held-out loss by the place of the frame in its clip."""
    if not run:
        return ""
    result = json.loads((Path(run) / "result.json").read_text())
    header = " | ".join(str(i + 1) for i in range(len(result["loss_by_frame"])))
    losses = " | ".join(f"{loss:.2f}" for loss in result["loss_by_frame"])
    return f"""
Compute: {result["flops"]:.3g} FLOPs on {result["tokens"]:,} tokens, {result["seconds"] / 60:.0f} minutes.

Held-out loss (nats a token) by the place of a frame in its clip:

| frame | {header} |
|---|{"---|" * len(result["loss_by_frame"])}
| loss | {losses} |
"""


def _looks(path: str) -> str:
    """The looks table: codes that change, and the probe that is trained on random looks."""
    if not path:
        return ""
    found = json.loads(Path(path).read_text())
    looks = list(found["changed"])
    rows = [("codes changed %", [f"{100 * found['changed'][look]['mean']:.1f}" for look in looks])]
    for row in found["probe"]:
        if row["trained"] == "random":
            name = f"{row['input']} {row['layer']}" if row["layer"] else row["input"]
            rows.append((f"probe mm: {name}", [f"{row['looks'][look]['mean']:.0f}" for look in looks]))
    lines = "\n".join(f"| {name} | {' | '.join(values)} |" for name, values in rows)
    return f"""
## Looks
The same states of {found["env"]} under other looks (`python -m toto_robot.looks`). Two states differ in
{100 * found["between"]["mean"]:.1f} % of their codes. The probe reads the cube's position and is trained on random
looks; a guess is {found["guess_mm"]:.0f} mm off.

| | {" | ".join(looks)} |
|---|{"---|" * len(looks)}
{lines}
"""


def main(cfg: PublishConfig) -> dict:
    """Copy the model folder with its new defaults and write the card."""
    folder = read_folder(Path(cfg.model))
    toto, tokenizer = load_toto(folder), load_tokenizer(folder.path)
    layer, pooling = cfg.layer or folder.layer, cfg.pooling or folder.pooling
    if not 1 <= layer <= folder.toto.layers:
        raise UserError(f"layer={layer}: {cfg.model} has layers 1 to {folder.toto.layers}.")
    scores = json.loads(Path(cfg.tokenizer_metrics).read_text())
    size = sum(p.numel() * 4 for model in (toto, tokenizer) for p in model.parameters()) / 1e6
    if size > LIMIT_MB:
        raise UserError(f"{cfg.model} has {size:.1f} MB. Embedded weights may have at most {LIMIT_MB} MB.")
    out = WEIGHTS / cfg.name
    text = card(cfg, folder.notes, scores, toto, tokenizer)
    save_model(
        out,
        toto,
        tokenizer,
        layer=layer,
        pooling=pooling,
        image_size=folder.image_size,
        notes=folder.notes,
        card=text,
    )
    size = sum(p.stat().st_size for p in out.iterdir()) / 1e6
    return {"out": str(out), "layer": layer, "pooling": pooling, "megabytes": round(size, 2)}


if __name__ == "__main__":
    command.run(main, PublishConfig, "publish", positional=("model", "name"))
