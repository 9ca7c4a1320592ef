"""A policy's folder: where it is, and its policy.yaml, checked before memory is used or an encoder is loaded.

policy.yaml          `About`: the encoder, the head, the sizes, and `spec`, what the numbers mean (policies/fit/spec.py)
policy.safetensors   the weights
look.safetensors     what the training pictures looked like (policies/look), if the policy sees pictures
"""

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError

from policies.features.features import EncoderConfig
from policies.fit.spec import PolicySpec
from policies.history import History
from policies.look.about import LookFile
from policies.network.heads import HeadConfig
from policies.network.trained_blocks import TrainedConfig
from toto_robot.ground.errors import UserError
from toto_robot.ground.foreign import check_inside
from toto_robot.ground.strict import build, check, check_regular, read_bytes, read_yaml
from toto_robot.ground.tensors import check_numbers
from toto_robot.models.presets import read_config

WEIGHTS, CONFIG, FORMAT = "policy.safetensors", "policy.yaml", 2
FORMATS = (1, FORMAT)
"""Format 1 has no `spec`."""
EMBEDDED = Path(__file__).parents[1] / "weights"
"""Policies that are shipped with the package, one folder each."""
BLOCKS = "head.encoder."
"""The names of the weights of Toto's blocks begin with this."""
ENV = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True, kw_only=True)
class About:
    """The content of policy.yaml, checked."""

    format: int
    """The file's format."""
    env: str | None
    """Our environment in which it was trained. None for another robot's policy."""
    proprio_dim: int
    """How many numbers of proprioception."""
    action_dim: int
    """How many numbers an action has."""
    binary_actions: tuple[int, ...]
    """Indices of the actions that are choices."""
    feature_shape: tuple[int, ...]
    """The shape of one sample's feature."""
    encoder: EncoderConfig
    """Where the features come from."""
    encoder_fingerprint: str
    """Identifies the encoder's weights and settings."""
    head: HeadConfig
    """The trained part."""
    sha256: str
    """The digest of the weights."""
    spec: PolicySpec | None = None
    """What the numbers mean. None in an old folder (`policies.fit.rules.spec_of_folder` completes it)."""
    notes: dict = field(default_factory=dict)
    """How the policy was made: plain values by name."""
    look: LookFile | None = None
    """The statistics of the training pictures."""
    history: History | None = None
    """The frames that the policy sees beside the newest one. None for the newest frame alone."""
    trained: TrainedConfig | None = None
    """Toto's blocks that learned with the policy and lie in its weights. None for a frozen encoder."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UserError(f"format: expected {' or '.join(map(str, FORMATS))}, got {self.format}")
        if self.env is not None and not ENV.fullmatch(self.env):
            raise UserError(f"env: expected the name of an environment or null, got {self.env!r}")
        if min(self.proprio_dim, self.action_dim) < 1:
            raise UserError(
                f"proprio_dim and action_dim: expected at least 1, got {self.proprio_dim} and {self.action_dim}"
            )
        if len(set(self.binary_actions)) != len(self.binary_actions) or not all(
            0 <= i < self.action_dim for i in self.binary_actions
        ):
            raise UserError(
                f"binary_actions: expected different indices from 0 to {self.action_dim - 1}, got "
                f"{list(self.binary_actions)}"
            )
        if not 1 <= len(self.feature_shape) <= 3 or min(self.feature_shape) < 0:
            raise UserError(f"feature_shape: expected one to three sizes, got {list(self.feature_shape)}")
        self._check_notes()
        if self.spec is not None:
            counts = (len(self.spec.proprio.names), len(self.spec.action.names))
            if counts != (self.proprio_dim, self.action_dim):
                raise UserError(
                    f"spec: it names {counts[0]} numbers of proprioception and {counts[1]} actions, but proprio_dim "
                    f"and action_dim are {self.proprio_dim} and {self.action_dim}"
                )

    def _check_notes(self) -> None:
        hz, action = self.notes.get("control_hz"), self.notes.get("action")
        if hz is not None and not 0 < check(float, hz, "notes.control_hz") < 1e5:
            raise UserError(f"notes.control_hz: expected a rate above 0, got {hz}")
        if action is not None:
            check(tuple[str, ...], check(dict, action, "notes.action").get("names", []), "notes.action.names")

    def plain(self) -> dict:
        """The content of policy.yaml. What a policy does not use has no key, so older versions can read it."""
        values = dataclasses.asdict(self)
        if self.history is None:
            del values["history"]
        if self.trained is None:
            del values["trained"], values["encoder"]["train"], values["encoder"]["train_lr"]
        return values

    @property
    def needs(self) -> str | None:
        """The observation that the policy reads besides proprioception: rgb, privileged or None."""
        return self.encoder.needs


def find(path_or_name: str | Path) -> Path:
    """A policy's folder, from its path, a run's folder, or the name of a run or of an embedded policy.

    Raises UserError listing the policies that exist if there is none.
    """
    given = Path(path_or_name)
    for place in (given, given / "policy", Path("runs") / given / "policy", EMBEDDED / given):
        if (place / CONFIG).is_file():
            return place
    exists = sorted(str(p.parent) for p in Path("runs").glob(f"*/policy/{CONFIG}"))
    listing = ", ".join(exists) if exists else "no run has saved one yet"
    raise UserError(
        f"No policy at {str(given)!r}: expected a folder with {CONFIG} and {WEIGHTS}, or a run's folder or name. "
        f"Policies in runs/: {listing}. Embedded: {', '.join(embedded()) or 'none'}. "
        "`python -m toto_robot.train_dagger env=franka_pick` trains one."
    )


def embedded() -> list[str]:
    """Names of the policies that are shipped."""
    return sorted(p.parent.name for p in EMBEDDED.glob(f"*/{CONFIG}"))


def read_about(folder: Path) -> About:
    """The description of the policy in `folder`. Raises UserError naming the key that is wrong."""
    path = folder / CONFIG
    check_inside(folder)
    values = read_yaml(path)
    form = values.get("format") if isinstance(values, dict) else None
    if not isinstance(form, int) or form not in FORMATS:
        raise UserError(
            f"{path}: expected a policy of format {' or '.join(map(str, FORMATS))}, got {str(form)[:40]!r}. Train the "
            "policy again, or update toto_robot."
        )
    return build(About, values, str(path))


def read_tensors(path: Path, digest: str, load: Callable[[bytes], dict]) -> dict:
    """A policy's tensors by name, read with safetensors' `load` for PyTorch or NumPy.

    Raises UserError if the file can't be read, or if its sha256 is not `digest`.
    """
    data = read_bytes(path, most=check_regular(path))
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(f"{path} is not the file that its {CONFIG} describes (sha256 differs): copy it again.")
    try:
        return load(data)
    except SafetensorError as error:
        raise UserError(
            f"{path} can't be read as a policy's weights: {error}. Copy it again or train again."
        ) from error


def check_sizes(about: About, shapes: dict[str, tuple[int, ...]], where: Path) -> None:
    """Raise UserError if a size in the description is larger than the weights allow, before a network is made from
    it."""
    values, head, inner = sum(map(math.prod, shapes.values())), about.head, about.head.transformer
    sizes = [
        about.proprio_dim,
        about.action_dim,
        head.feature_width,
        head.proprio_width,
        head.attention_heads,
        *head.hidden,
    ]
    layers = len(head.hidden)
    if inner is not None:
        sizes += [inner.width, inner.heads, inner.context, inner.chunk, round(min(inner.width * inner.mlp_ratio, 1e18))]
        layers += inner.blocks
    if len(about.feature_shape) < 3:
        sizes += about.feature_shape
    if about.trained is not None:
        inside = {name: shape for name, shape in shapes.items() if name.startswith(BLOCKS)}
        inside = inside or {"no tensor": (0,)}
        check_numbers(read_config(about.trained.model), inside, f"{where / CONFIG}, trained.model")
        sizes += [about.trained.tokens]
    if (
        max(sizes) > values
        or layers > len(shapes)
        or len(about.feature_shape) == 3
        and math.prod(about.feature_shape) > 1 << 20
    ):
        raise UserError(
            f"{where / CONFIG} describes a network of other sizes than {WEIGHTS} holds: sizes up to {max(sizes):,} in "
            f"{layers} layers, for {values:,} numbers in {len(shapes)} tensors. Copy the folder again or train again."
        )
