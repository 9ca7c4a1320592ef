"""The settings that every training run has, whether it learns from an expert, from demonstrations or from reward.

On the arrow: `policies.dagger.train`, `policies.cloning.train` and `policies.rl.config` add their own keys.
"""

from dataclasses import dataclass, field

from envs.appearance import GREY_LOOKS
from envs.looks import TRAINING
from policies.features.features import EncoderConfig, Features, make_features
from policies.network.heads import HeadConfig
from policies.scoring.rollout import EnvConfig
from toto_robot.features.contract import FrozenEncoder
from toto_robot.ground.errors import UserError, unknown


@dataclass
class RunConfig:
    """Everything that decides the outcome of a training run, except how it learns."""

    env: EnvConfig = field(default_factory=EnvConfig)
    """The environment. DAgger's states come from it, and a clone is evaluated in it. It says which actions are
    choices."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """The frozen features, or `resnet` for a network that is trained end to end."""
    policy: HeadConfig = field(default_factory=HeadConfig)
    """The trained head. bc_mlp is MVP's. bc_transformer is RPT's, which only cloning trains."""
    seed: int = 0
    """Seed of everything random in training: weights, minibatches, augmentation, mixing, episodes."""
    episodes: int = 200
    """Episodes of the final evaluation, on seeds that training can't reach; 0 for no evaluation."""
    eval_seed: int = 12345
    """Seed of the final evaluation's list of episodes (`evaluate seed=`)."""
    run: str | None = None
    """Name of the run's folder in runs/. null makes a name from the environment and the time."""
    resume: bool = False
    """Continue the newest unfinished run with an equal config."""
    device: str = "cpu"
    """Where the encoder runs: cpu or cuda."""
    encode_processes: int = 2
    """Processes that encode frames on a CPU, one thread each."""
    threads: int = 2
    """Threads of PyTorch's arithmetic. They split sums, so another number gives another (equally good) policy."""

    @property
    def label(self) -> str:
        """The start of the run's title and of its folder's name."""
        return self.env.name

    @property
    def privileged(self) -> bool:
        """Whether the policy reads the simulator's true state."""
        return self.encoder.needs == "privileged"

    @property
    def renders(self) -> bool:
        """Whether the policy reads pictures."""
        return self.encoder.needs == "rgb"

    def features(self, encoder: FrozenEncoder | None = None) -> Features:
        """The features that the config names (not the privileged state). `encoder` replaces the one that it would
        load."""
        return make_features(self.encoder, device=self.device, encoder=encoder, processes=self.encode_processes)

    def __post_init__(self) -> None:
        if self.episodes < 0 or self.threads < 1:
            raise UserError(f"expected episodes >= 0 and threads >= 1, got {self.episodes} and {self.threads}.")
        check_training_look(self.env.appearance)


def check_training_look(appearance: str, key: str = "env.appearance") -> None:
    """Raise UserError if `appearance` draws looks that an evaluation draws too."""
    exist = (*TRAINING, *GREY_LOOKS)
    if appearance not in exist:
        raise UserError(
            f"{key}={appearance!r} is not for training, because an evaluation may draw the same looks. "
            f"What exists: {', '.join(exist)}."
        )


def check_further_looks(also: list[str], key: str) -> None:
    """Raise UserError unless each of the looks in which a state is drawn again is one to train on."""
    if absent := [look for look in also if look not in TRAINING]:
        raise unknown(f"look in {key}", absent[0], TRAINING)
