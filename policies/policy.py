"""A policy: frozen features and proprioception in, actions out. It is saved to one folder as safetensors and YAML.

On the arrow: observation → `policies.features` → `PolicyNet` → action. `policies.dagger` and `policies.cloning` train
it; `policies.scoring.rollout` and `deploy` run it.
"""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from policies.features.features import EncoderFeatures, Features, TokenFeatures, make_features
from policies.fit.folder import CONFIG, FORMAT, WEIGHTS, About, check_sizes, find, read_about, read_tensors
from policies.fit.spec import PolicySpec
from policies.history import History, Recall
from policies.look.folder import LOOK_FILE, packed, read_look
from policies.look.training_look import TrainingLook
from policies.memory import Memory, Window
from policies.network.action_head import ActionHead
from policies.network.heads import HeadConfig, make_head
from policies.network.normalise import Normaliser
from policies.network.resnet import Pixels
from policies.network.trained_blocks import AT_ONCE, TrainedBlocks, TrainedConfig
from toto_robot.features.contract import FrozenEncoder
from toto_robot.ground.atomic import atomic_folder
from toto_robot.ground.errors import UserError
from toto_robot.ground.strict import dump_yaml
from toto_robot.ground.tensors import tensor_shapes


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
        trained: TrainedConfig | None = None,
    ):
        """`trained`: the features (`feature_shape`) are tokens, and the net contains the blocks that read them."""
        super().__init__()
        encoder = None if trained is None else TrainedBlocks(trained)
        feature_shape = feature_shape if encoder is None else encoder.shape(feature_shape)
        frames, self.squash, self.trained = len(feature_shape) == 3, head.squash, trained
        self.features = Pixels() if frames else Normaliser(feature_shape)
        self.proprio = Normaliser((proprio_dim,))
        self.action = Normaliser((action_dim,), floor=0.1)
        self.head = make_head(head, feature_shape, proprio_dim, action_dim, pooling, binary)
        self.head.encoder = encoder

    def forward(self, features: Tensor, proprio: Tensor, head: ActionHead | None = None) -> Tensor:
        """Raw features (B, *feature_shape) and proprioception (B, P) → the head's output (B, A)."""
        head = head or self.head
        return head(self.features(head.read(features)), self.proprio(proprio))

    def chunk(self, window: Window, head: ActionHead | None = None) -> Tensor:
        """The output (B, K, A) of a head that sees several steps."""
        head, steps = head or self.head, window.valid.shape
        features = head.read(window.features.flatten(0, 1)).unflatten(0, steps)
        return head(self.features(features), self.proprio(window.proprio), self.action(window.past), window.valid)

    @torch.no_grad()
    def update_statistics(self, features: Tensor, proprio: Tensor, action: Tensor) -> None:
        """Merge raw features, proprioception and actions, each (N, ...), into the statistics that normalise them."""
        read = features if self.head.encoder is None else torch.cat([*map(self.head.read, features.split(AT_ONCE))])
        self.features.update(read)
        self.proprio.update(proprio)
        self.action.update(action)

    def to_action(self, output: Tensor) -> Tensor:
        """The head's output (..., A) as actions in [-1, 1]. A binary action is its expected value, 2·sigmoid − 1."""
        number = torch.tanh(output) if self.squash else self.action.inverse(output)
        action = torch.where(self.head.is_binary, torch.tanh(output / 2), number)
        return action.clamp(-1, 1)


class Policy:
    """A trained student. `act` takes the observation dict of N environments and returns (N, A) float32 in [-1, 1]."""

    def __init__(
        self,
        net: PolicyNet,
        features: Features,
        env: str | None,
        head: HeadConfig,
        binary: tuple[int, ...],
        spec: PolicySpec | None = None,
        history: History | None = None,
    ):
        self.net, self.features, self.env, self.spec = net.eval(), features, env, spec
        self.head_config, self.binary = head, tuple(binary)
        self.notes: dict = {}
        """How the policy was made, for its description: plain values by name."""
        self.look: TrainingLook | None = None
        """What its training pictures looked like. None if it sees no pictures, or if it was saved without
        statistics."""
        action_dim = net.action.mean.numel()
        self.memory = Memory(head.transformer, action_dim) if head.transformer is not None else None
        self.history = history
        self.recall = self.new_recall()
        """What it has seen of the running episodes. None for a policy that sees the newest frame alone."""

    @classmethod
    def create(
        cls,
        features: Features,
        env: str | None,
        proprio_dim: int,
        action_dim: int,
        head: HeadConfig | None = None,
        binary: tuple[int, ...] = (),
        spec: PolicySpec | None = None,
        history: History | None = None,
    ) -> "Policy":
        """An untrained policy. Its weights come from torch's global generator.

        `binary` indices may count from the end. `spec` says what the numbers mean. `env` is None for a robot that is
        not one of ours. `history`: the frames that it sees beside the newest one.
        """
        head = head or HeadConfig()
        binary = tuple(sorted(i % action_dim for i in binary))
        shape = features.shape if history is None else history.shape(features)
        tokens = features if isinstance(features, TokenFeatures) else None
        trained = None if tokens is None else tokens.trained
        net = PolicyNet(head, shape, proprio_dim, action_dim, features.config.pooling, binary, trained)
        if tokens is not None and net.head.encoder is not None:
            net.head.encoder.toto.load_state_dict(tokens.weights)
        return cls(net, features, env, head, binary, spec, history)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of what the head reads of one step."""
        return tuple(self.features.shape) if self.history is None else self.history.shape(self.features)

    def new_recall(self) -> Recall | None:
        """An empty memory of frames for the policy's history, or None if it has none."""
        if self.history is None:
            return None
        assert isinstance(self.features, EncoderFeatures)
        return Recall(self.features, self.history)

    @property
    def needs(self) -> str | None:
        """The observation key that it reads besides `proprio`."""
        return self.features.needs

    def act(self, obs: dict[str, np.ndarray], head: ActionHead | None = None) -> np.ndarray:
        """Actions (N, A), float32 in [-1, 1], for observations of N environments.

        `head` replaces the policy's own head (an average of its weights, say). A policy with a context or a history
        distinguishes episodes by obs["slot"] and obs["step"], each (N,). Without them row i is slot i, and `reset` must
        be called when episodes begin.
        """
        proprio = torch.from_numpy(np.array(obs["proprio"], np.float32))
        slots = list(map(int, obs["slot"])) if "slot" in obs else list(range(len(proprio)))
        if self.recall is None:
            features = self.features(obs)
        else:
            features = self.recall(obs, slots, list(map(int, obs["step"])) if "step" in obs else None)
        if self.memory is None:
            return self.act_on(features, proprio, head)
        first = [step == 0 for step in obs["step"]] if "step" in obs else [False] * len(slots)
        return self.memory.act(lambda window: self._chunks(window, head), features, proprio, slots, first)

    @torch.inference_mode()
    def act_on(self, features: Tensor, proprio: Tensor, head: ActionHead | None = None) -> np.ndarray:
        """The same from features (N, *shape) that are already computed, for a policy without a context."""
        return self.net.to_action(self.net(features, proprio, head)).numpy()

    @torch.inference_mode()
    def _chunks(self, window: Window, head: ActionHead | None) -> np.ndarray:
        return self.net.to_action(self.net.chunk(window, head)).numpy()

    def reset(self) -> None:
        """Forget all episodes. The next step is the first one of every slot."""
        if self.memory is not None:
            self.memory.episodes.clear()
        if self.recall is not None:
            self.recall.past.forget()

    def close(self) -> None:
        """End the encoder's processes, if it has any."""
        self.features.close()

    def save(self, folder: str | Path) -> Path:
        """Write the policy to `folder`, which is replaced as a whole, atomically."""
        data = save_tensors({k: v.contiguous() for k, v in self.net.state_dict().items()})
        look_file, look = packed(self.look)
        about = About(
            format=FORMAT,
            env=self.env,
            proprio_dim=self.net.proprio.mean.numel(),
            action_dim=self.net.action.mean.numel(),
            binary_actions=self.binary,
            feature_shape=self.feature_shape,
            encoder=self.features.config,
            encoder_fingerprint=self.features.fingerprint,
            head=self.head_config,
            sha256=hashlib.sha256(data).hexdigest(),
            spec=self.spec,
            notes=self.notes,
            look=look_file,
            history=self.history,
            trained=self.net.trained,
        )
        with atomic_folder(folder) as temporary:
            (temporary / WEIGHTS).write_bytes(data)
            if look:
                (temporary / LOOK_FILE).write_bytes(look)
            (temporary / CONFIG).write_text(dump_yaml(about.plain()))
        return Path(folder)

    @classmethod
    def load(
        cls, folder: str | Path, *, device: str = "cpu", encoder: FrozenEncoder | None = None, processes: int = 1
    ) -> "Policy":
        """Read a folder that `save` wrote. `encoder` replaces the one that the policy names.

        Raises UserError naming the file if the folder is not a whole policy, or if the encoder is not the one that the
        policy was trained with.
        """
        folder = Path(folder)
        about = read_about(folder)
        _check_network(about, folder)
        shape = about.feature_shape
        features = make_features(
            about.encoder, privileged_dim=shape[0], device=device, encoder=encoder, processes=processes
        )
        if about.history is not None:
            about.history.check(features)
        seen = tuple(features.shape) if about.history is None else about.history.shape(features)
        if features.fingerprint != about.encoder_fingerprint or seen != shape:
            raise UserError(
                f"The policy in {folder} was trained on encoder {about.encoder.name} with fingerprint "
                f"{about.encoder_fingerprint} and features {shape}, but the encoder at hand has fingerprint "
                f"{features.fingerprint} and features {seen}. Train the policy again, or restore that "
                "encoder."
            )
        net = _network(about)
        net.load_state_dict(read_tensors(folder / WEIGHTS, about.sha256, load_tensors))
        policy = cls(net, features, about.env, about.head, about.binary_actions, about.spec, about.history)
        policy.notes, policy.look = about.notes, read_look(folder, about.look)
        return policy


class RandomPolicy:
    """Uniform actions in [-1, 1]. Any useful policy is better than this one."""

    needs = None

    def close(self) -> None:
        pass

    def __init__(self, action_dim: int, seed: int = 0):
        self.action_dim, self.rng = action_dim, np.random.default_rng(seed)

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        return self.rng.uniform(-1, 1, (len(obs["proprio"]), self.action_dim)).astype(np.float32)


class ExpertPolicy:
    """Executes the label of the environment's expert for the state (`obs["expert"]`)."""

    needs = "expert"

    def close(self) -> None:
        pass

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        return np.array(obs["expert"], np.float32)


def load(
    path_or_name: str | Path, *, device: str = "cpu", encoder: FrozenEncoder | None = None, processes: int = 1
) -> Policy:
    """Load a policy from its folder, from a run's folder, or by the name of a run in `runs/` or of an embedded policy.

    On a CPU, `processes` above 1 encode in parallel (for many environments at once). End them with `close()`.

    Raises UserError listing the policies that exist if there is none at that place.
    """
    return Policy.load(find(path_or_name), device=device, encoder=encoder, processes=processes)


def inspect(path_or_name: str | Path) -> About:
    """The description in a policy's folder, checked against the header of its weights. Loads neither the weights nor
    the encoder."""
    folder = find(path_or_name)
    about = read_about(folder)
    _check_network(about, folder)
    return about


def describe(path_or_name: str | Path) -> dict:
    """policy.yaml as plain values, checked: env, proprio_dim, action_dim, encoder, sha256 and more
    (`fit.folder.About`)."""
    return dataclasses.asdict(read_about(find(path_or_name)))


def _network(about: About) -> PolicyNet:
    return PolicyNet(
        about.head,
        about.feature_shape,
        about.proprio_dim,
        about.action_dim,
        about.encoder.pooling,
        about.binary_actions,
        about.trained,
    )


def _check_network(about: About, folder: Path) -> None:
    """Raise UserError unless the weights' header has exactly the tensors of the network that `about` describes."""
    shapes = tensor_shapes(folder / WEIGHTS)
    check_sizes(about, shapes, folder)
    try:
        with torch.device("meta"):
            wanted = {k: tuple(v.shape) for k, v in _network(about).state_dict().items()}
    except UserError:
        raise
    except (ValueError, RuntimeError, ArithmeticError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder / CONFIG} describes a network that can't be made: {reason}. Train it again."
        ) from error
    if shapes != wanted:
        raise UserError(
            f"{folder / WEIGHTS} has the tensors of another architecture than its {CONFIG} describes. Train it again."
        )
