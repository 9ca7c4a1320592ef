"""A policy: frozen features and proprioception in, actions out. Saved to one folder as safetensors and YAML."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Callable

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

import envs
from policies.acting import Memory, Window
from policies.features import EncoderConfig, Features, make_features
from policies.heads import HeadConfig, make_head
from policies.normalise import Normaliser
from policies.resnet import Pixels
from toto_robot.atomic import atomic_folder
from toto_robot.errors import UserError

WEIGHTS, CONFIG, FORMAT = "policy.safetensors", "policy.yaml", 1
EMBEDDED = Path(__file__).parent / "weights"
"""Policies that are shipped with the package, a folder each."""


class PolicyNet(nn.Module):
    """Everything that is saved: the statistics of features, proprioception and actions, and the head."""

    def __init__(
        self,
        head: HeadConfig,
        feature_shape: tuple[int, ...],
        proprio_dim: int,
        action_dim: int,
        pooling: str,
        binary: tuple[int, ...],
    ):
        super().__init__()
        frames, self.squash = len(feature_shape) == 3, head.squash
        self.features = Pixels() if frames else Normaliser(feature_shape)
        self.proprio = Normaliser((proprio_dim,))
        self.action = Normaliser((action_dim,), floor=0.1)
        self.head = make_head(head, feature_shape, proprio_dim, action_dim, pooling, binary)

    def forward(self, features: Tensor, proprio: Tensor, head: nn.Module | None = None) -> Tensor:
        """Raw features (B, *feature_shape) and proprioception (B, P) → the head's output (B, A)."""
        return (head or self.head)(self.features(features.float()), self.proprio(proprio))

    def chunk(self, window: Window, head: nn.Module | None = None) -> Tensor:
        """The output (B, K, A) of a head with a context."""
        features, proprio = self.features(window.features.float()), self.proprio(window.proprio)
        return (head or self.head)(features, proprio, self.action(window.past), window.valid)

    def to_action(self, output: Tensor) -> Tensor:
        """The head's output (..., A) as actions in [-1, 1]; a binary one is its expected value, 2·sigmoid − 1."""
        number = torch.tanh(output) if self.squash else self.action.inverse(output)
        action = torch.where(self.head.is_binary, torch.tanh(output / 2), number)
        return action.clamp(-1, 1)


class Policy:
    """A trained student. `act` takes the observation dict of N environments and gives (N, A) float32 in [-1, 1]."""

    def __init__(self, net: PolicyNet, features: Features, env: str, head: HeadConfig, binary: tuple[int, ...]):
        self.net, self.features, self.env = net.eval(), features, env
        self.head_config, self.binary = head, tuple(binary)
        self.notes: dict = {}
        """Where it comes from, for its description: plain values by name."""
        action_dim = net.action.mean.numel()
        self.memory = Memory(head.transformer, action_dim) if head.transformer is not None else None

    @classmethod
    def create(
        cls,
        features: Features,
        env: str,
        proprio_dim: int,
        action_dim: int,
        head: HeadConfig | None = None,
        binary: tuple[int, ...] = (),
    ) -> "Policy":
        """An untrained policy; weights from torch's global generator. `binary` indices may count from the end."""
        head = head or HeadConfig()
        binary = tuple(sorted(i % action_dim for i in binary))
        net = PolicyNet(head, features.shape, proprio_dim, action_dim, features.config.pooling, binary)
        return cls(net, features, env, head, binary)

    @property
    def needs(self) -> str | None:
        """The observation key it reads besides `proprio`."""
        return self.features.needs

    def act(self, obs: dict[str, np.ndarray], head: nn.Module | None = None) -> np.ndarray:
        """Actions (N, A), float32 in [-1, 1], for observations of N environments; `head` acts in place of the policy's
        own (an average). A policy with a context tells episodes apart by obs["slot"] and obs["step"], each (N,);
        without them row i is slot i, and `reset` must be called where episodes begin."""
        features = self.features(obs)
        proprio = torch.from_numpy(np.array(obs["proprio"], np.float32))
        if self.memory is None:
            return self.act_on(features, proprio, head)
        slots = list(map(int, obs["slot"])) if "slot" in obs else list(range(len(proprio)))
        first = [step == 0 for step in obs["step"]] if "step" in obs else [False] * len(slots)
        return self.memory.act(lambda window: self._chunks(window, head), features, proprio, slots, first)

    @torch.inference_mode()
    def act_on(self, features: Tensor, proprio: Tensor, head: nn.Module | None = None) -> np.ndarray:
        """The same from features (N, *shape) computed before, for a policy without a context."""
        return self.net.to_action(self.net(features, proprio, head)).numpy()

    @torch.inference_mode()
    def _chunks(self, window: Window, head: nn.Module | None) -> np.ndarray:
        return self.net.to_action(self.net.chunk(window, head)).numpy()

    def check_fits(self, vec, given: str) -> None:
        """UserError unless `vec` has the robot and the control rate that the policy was trained on. Another task or look
        may be tried. `given` is the policy's name in the message."""
        hz = self.notes.get("control_hz")  # DAgger's policies don't note it
        if hz is None:
            hz = envs.make(self.env, render=False).control_hz if self.env in envs.names() else vec.control_hz
        trained = (self.net.proprio.mean.numel(), self.net.action.mean.numel(), float(hz))
        if trained != (vec.proprio_dim, vec.action_dim, float(vec.control_hz)):
            raise UserError(
                f"The policy {given} was trained on {self.env} with {trained[0]} joint values and {trained[1]} actions at "
                f"{trained[2]:g} Hz, but env={vec.name} has {vec.proprio_dim} and {vec.action_dim} at {vec.control_hz:g} Hz. "
                f"Use env={self.env}."
            )

    def reset(self) -> None:
        """Forget all episodes: the next step is every slot's first."""
        if self.memory is not None:
            self.memory.episodes.clear()

    def close(self) -> None:
        """Ends the encoder's processes, if it has any."""
        self.features.close()

    def save(self, folder: str | Path) -> Path:
        """Write the policy to `folder` (replaced as a whole, atomically)."""
        data = save_tensors({k: v.contiguous() for k, v in self.net.state_dict().items()})
        about = {
            "format": FORMAT,
            "env": self.env,
            "proprio_dim": self.net.proprio.mean.numel(),
            "action_dim": self.net.action.mean.numel(),
            "binary_actions": list(self.binary),
            "feature_shape": list(self.features.shape),
            "encoder": dataclasses.asdict(self.features.config),
            "encoder_fingerprint": self.features.fingerprint,
            "head": dataclasses.asdict(self.head_config),
            "sha256": hashlib.sha256(data).hexdigest(),
        } | ({"notes": self.notes} if self.notes else {})
        with atomic_folder(folder) as temporary:
            (temporary / WEIGHTS).write_bytes(data)
            (temporary / CONFIG).write_text(yaml.safe_dump(about, sort_keys=False))
        return Path(folder)

    @classmethod
    def load(
        cls, folder: str | Path, *, device: str = "cpu", encoder: Callable | None = None, processes: int = 1
    ) -> "Policy":
        """Read a folder that `save` wrote; `encoder` takes the place of the one that the policy names.

        Raises UserError naming the file for anything that is not a whole policy, and when the encoder at hand is
        not the one that the policy was trained with.
        """
        folder = Path(folder)
        about = _read_config(folder / CONFIG)
        try:
            head, config = HeadConfig(**about["head"]), EncoderConfig(**about["encoder"])
            shape, dims = tuple(about["feature_shape"]), (about["proprio_dim"], about["action_dim"])
            fingerprint, env, digest = about["encoder_fingerprint"], about["env"], about["sha256"]
            binary = tuple(about["binary_actions"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{folder / CONFIG} is not a policy's description ({error}). Train it again.") from error
        features = make_features(config, privileged_dim=(shape or (0,))[0], device=device, encoder=encoder, processes=processes)
        if features.fingerprint != fingerprint or tuple(features.shape) != shape:
            raise UserError(
                f"The policy in {folder} was trained on encoder {config.name} with fingerprint {fingerprint} and "
                f"features {shape}, but the encoder at hand has fingerprint {features.fingerprint} and features "
                f"{tuple(features.shape)}. Train the policy again, or restore that encoder."
            )
        net = PolicyNet(head, shape, *dims, config.pooling, binary)
        net.load_state_dict(_read_weights(folder / WEIGHTS, digest, net))
        policy = cls(net, features, env, head, binary)
        policy.notes = about.get("notes") or {}
        return policy


class RandomPolicy:
    """Uniform actions in [-1, 1]: the floor that any policy must beat."""

    needs = None

    def close(self) -> None:
        pass

    def __init__(self, action_dim: int, seed: int = 0):
        self.action_dim, self.rng = action_dim, np.random.default_rng(seed)

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        return self.rng.uniform(-1, 1, (len(obs["proprio"]), self.action_dim)).astype(np.float32)


class ExpertPolicy:
    """Executes the label that the environment's expert gives to the state (`obs["expert"]`)."""

    needs = "expert"

    def close(self) -> None:
        pass

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        return np.array(obs["expert"], np.float32)


def load(
    path_or_name: str | Path, *, device: str = "cpu", encoder: Callable | None = None, processes: int = 1
) -> Policy:
    """Load a policy from its folder, from a run's folder, or by the name of a run in `runs/` or of an embedded policy.

    On a CPU, `processes` above 1 encode side by side (for many environments at once); end them with `close()`.

    Raises UserError listing the policies that exist when there is none at that place.
    """
    return Policy.load(find(path_or_name), device=device, encoder=encoder, processes=processes)


def find(path_or_name: str | Path) -> Path:
    """The folder that `load` reads. Raises UserError listing the policies that exist when there is none."""
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


def describe(path_or_name: str | Path) -> dict:
    """What the policy's folder says of itself: env, proprio_dim, action_dim, encoder, sha256 and more (see `save`)."""
    return _read_config(find(path_or_name) / CONFIG)


def embedded() -> list[str]:
    """Names of the policies that are shipped."""
    return sorted(p.parent.name for p in EMBEDDED.glob(f"*/{CONFIG}"))


def _read_config(path: Path) -> dict:
    try:
        about = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} can't be read as a policy's description: {error}.") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        got = about.get("format") if isinstance(about, dict) else type(about).__name__
        raise UserError(f"{path}: expected a policy of format {FORMAT}, got {got!r}. Train the policy again.")
    return about


def _read_weights(path: Path, digest: str, net: nn.Module) -> dict[str, Tensor]:
    tensors = read_tensors(path, digest, load_tensors)
    wanted = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    if {k: tuple(v.shape) for k, v in tensors.items()} != wanted:
        raise UserError(f"{path} holds tensors of another architecture than its {CONFIG} describes. Train it again.")
    return tensors


def read_tensors(path: Path, digest: str, load: Callable[[bytes], dict]) -> dict:
    """A policy's tensors by name, read with safetensors' `load` for PyTorch or NumPy.

    Raises UserError for a file that can't be read, or whose sha256 is not `digest`.
    """
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise UserError(f"{path} is not the file that its {CONFIG} describes (sha256 differs): copy it again.")
        return load(data)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} can't be read as a policy's weights: {error}. Copy it again or train again.") from error
