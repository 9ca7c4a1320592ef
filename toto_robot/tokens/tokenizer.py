"""Open any tokenizer: an embedded one by name, a folder of ours, or the files that its authors published.

    load_tokenizer("toto_tiny")                    the dVAE of the embedded model
    load_tokenizer("patches:16")                   no codes: patches of 16×16 pixels
    load_tokenizer("data/dvae")                    a folder that `Tokenizer.save` or `pretrain` wrote
    load_tokenizer("downloads/encoder.pkl")        OpenAI's dVAE; decoder.pkl is taken from beside it
    load_tokenizer("downloads/flava-image-codebook")   the same encoder in Hugging Face's layout (pytorch_model.bin)
    load_tokenizer("vqgan_imagenet_f16_1024")      a VQGAN: checkpoints/last.ckpt, with configs/model.yaml or without

A foreign file is recognised by its content, and nothing in it is run (`foreign/`). `.save(FOLDER)` writes the result in
our layout, which loads faster and with a checked hash.
"""

import hashlib
import re
from pathlib import Path

from toto_robot.ground.errors import UserError
from toto_robot.ground.foreign import check_inside
from toto_robot.tokens.base import CONFIG, Tokenizer, weight_name
from toto_robot.tokens.dvae import DVAE
from toto_robot.tokens.foreign.dalle import dalle_from, is_dalle
from toto_robot.tokens.foreign.taming import is_vqgan, vqgan_from
from toto_robot.tokens.foreign.weights import SUFFIXES, read_weights
from toto_robot.tokens.patches import PatchConfig, PatchTokenizer
from toto_robot.tokens.vqgan import VQGAN

EMBEDDED = Path(__file__).parent.parent / "weights"
KINDS: dict[str, type[Tokenizer]] = {kind.kind: kind for kind in (DVAE, VQGAN, PatchTokenizer)}
PATCHES = re.compile(r"patches:(\d+)")
PUBLISHED = {215_185_363: ("encoder.pkl", "96b0f478c2e8d912f745f1bdde186efaac4265d38568a52f33bd40d3a15935d4")}
"""Size in bytes of a published file → its name and sha256. (The hash was measured by others; OpenAI gives none.)"""


def load_tokenizer(name_or_path: str | Path) -> Tokenizer:
    """The tokenizer called `name_or_path`, on the CPU, in float32.

    Raises UserError, which says what exists, or what a file holds instead.
    """
    path = find_tokenizer(name_or_path)
    if path.is_dir():
        check_inside(path)
    if pixels := PATCHES.fullmatch(str(path)):
        return PatchTokenizer(PatchConfig(patch=int(pixels[1])))
    if kind := kind_in(path):
        return KINDS[kind].load(path)
    sha256 = checked_sha256(path)
    weights = read_weights(path, wanted=lambda name: not name.startswith(("loss.", "model_ema.")))
    if is_dalle(weights):
        model = dalle_from(weights, path)
    elif is_vqgan(weights):
        model = vqgan_from(weights, path)
    else:
        raise UserError(
            f"{path} holds no tokenizer that is known (DALL·E's dVAE, FLAVA's copy of it, a VQGAN of "
            f"taming-transformers or latent-diffusion). Its weights: {', '.join(list(weights)[:4])}, …"
        )
    model.source = {"file": path.name, "sha256": sha256}
    return model


def find_tokenizer(name_or_path: str | Path) -> Path:
    """A folder in our layout, the weight file of a foreign one, or `patches:PIXELS` itself.

    Raises UserError, which says what exists.
    """
    if PATCHES.fullmatch(str(name_or_path)):
        return Path(name_or_path)
    for path in (EMBEDDED / name_or_path, Path(name_or_path)):
        if kind_in(path) or path.is_file():
            return path
    folder = Path(name_or_path)
    if not folder.is_dir():
        embedded = sorted(p.parent.name for p in EMBEDDED.glob(f"*/{CONFIG}") if kind_in(p.parent))
        raise UserError(
            f"no tokenizer {str(name_or_path)!r}: expected a folder with {CONFIG} and "
            f"{' or '.join(map(weight_name, KINDS))}, a published weight file ({', '.join(SUFFIXES)}), patches:PIXELS, "
            f"or one of the embedded ones ({', '.join(embedded) or 'none is installed'})"
        )
    # One weight file, or the last checkpoint, or the encoder's, or the one in the safest format.
    files = [p for where in (folder, folder / "checkpoints") for p in sorted(where.glob("*")) if p.suffix in SUFFIXES]
    for preferred in (
        files,
        [p for p in files if p.stem == "last"],
        [p for p in files if "encoder" in p.name],
        [p for p in files if p.suffix == ".safetensors"],
    ):
        if len(preferred) == 1:
            return preferred[0]
    raise UserError(
        f"{folder} holds {', '.join(p.name for p in files) or 'no weight file'}; expected one weight file "
        f"({', '.join(SUFFIXES)}), encoder and decoder, or last.ckpt. Give the path of the one to use."
    )


def kind_in(folder: Path) -> str | None:
    """The kind of tokenizer in a folder of our layout, or None. A model folder has one beside the transformer."""
    return next((kind for kind in KINDS if (folder / weight_name(kind)).is_file()), None)


def checked_sha256(path: Path) -> str:
    """sha256 of a foreign file. Raises UserError if it has exactly the size of a published file, but other content.

    Such a file is the published one with damage, which the legacy format can't detect. A file of another size is
    somebody's own, saved again or trained further, and its fingerprint shows that.
    """
    try:
        with path.open("rb") as file:
            found, size = hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    name, wanted = PUBLISHED.get(size, (None, found))
    if found != wanted:
        raise UserError(
            f"{path} has the size of OpenAI's {name} but not its content (sha256 {found[:12]}…, expected "
            f"{wanted[:12]}…): download it again. If these are your own weights, save them as .safetensors."
        )
    return found
