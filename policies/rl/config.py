"""The settings of a run of reinforcement learning, and the numbers that MVP published for PPO (arXiv 2203.06173)."""

from dataclasses import dataclass, field

from policies.bookkeeping.config import RunConfig
from toto_robot.ground.errors import UserError, unknown
from toto_robot.ground.schedules import half_cosine

SCHEDULES = ("constant", "linear", "cosine")
AT_SUCCESS, AT_TIMEOUT = ("stay", "bootstrap", "end"), ("bootstrap", "end")

MVP_ITERATIONS = {"reach": 500, "cabinet": 1000, "pick": 2000, "move": 2000}
"""Iterations of 32 × 256 steps for each task (configs/ppo/train of ir413/mvp)."""
MVP_LR = {
    "state": {
        "franka_reach": 1e-3,
        "franka_cabinet": 1e-3,
        "franka_pick": 1e-3,
        "franka_move": 1e-3,
        "kuka_reach": 5e-4,
        "kuka_cabinet": 5e-4,
        "kuka_pick": 1e-3,
        "kuka_move": 5e-4,
    },
    "pixels": {
        "franka_reach": 1e-3,
        "franka_cabinet": 1e-3,
        "franka_pick": 1e-3,
        "franka_move": 1.5e-3,
        "kuka_reach": 1.5e-3,
        "kuka_cabinet": 5e-4,
        "kuka_pick": 5e-4,
        "kuka_move": 5e-4,
    },
}
"""Adam's learning rate for each environment, from the privileged state and from pixels (the same)."""


@dataclass
class PpoConfig:
    """Proximal policy optimisation, as in stable-baselines3."""

    n_steps: int = 32
    """Steps of each environment between two updates. n_steps × num_envs is an iteration."""
    epochs: int = 10
    """Passes over an iteration's steps."""
    minibatches: int = 4
    """Minibatches in a pass."""
    clip: float = 0.2
    """The ratio of new to old probability is clipped to 1 ± this."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation."""
    ent_coef: float = 0.0
    """Weight of the entropy in the loss."""
    vf_coef: float = 0.5
    """Weight of the value's squared error in the loss."""
    grad_clip: float = 1.0
    """The largest norm of a gradient."""
    init_std: float = 1.0
    """Initial standard deviation of the actions. It is learned, and is the same in all states."""
    mvp_details: bool = False
    """Use the details in which MVP's code differs from stable-baselines3: advantages are normalised over the whole
    iteration, minibatches are consecutive steps in their order, the standard deviation is exp(2·log_std), and Adam's
    epsilon is 1e-8."""


@dataclass
class SacConfig:
    """Soft actor-critic, as in stable-baselines3."""

    buffer_size: int = 300_000
    """Steps that the replay buffer holds."""
    learning_starts: int = 5_000
    """Number of initial steps with random actions."""
    batch_size: int = 256
    """Steps in a minibatch."""
    tau: float = 0.005
    """How fast the target critics follow the critics (share for each update)."""
    train_every: int = 1
    """Steps of each environment between two bursts of updates."""
    updates: int = 8
    """Minibatches in a burst."""
    ent_coef: str = "auto"
    """Weight of the entropy: auto learns it, auto_0.1 learns it from 0.1 on, or a number."""


@dataclass
class AlgoConfig:
    """How an agent learns from reward. Exactly one of `ppo` and `sac` is given."""

    total_steps: int | None = None
    """Environment steps of the whole run. null: MVP's number for the task."""
    steps_per_round: int = 32_768
    """Environment steps between two checkpoints."""
    num_envs: int = 64
    """Environments that run side by side."""
    lr: float | None = None
    """Adam's initial learning rate. null: MVP's number for the environment."""
    lr_schedule: str = "cosine"
    """How the learning rate falls to zero: constant (not at all), linear or cosine."""
    gamma: float = 0.99
    """Discount for each step."""
    normalise: bool = True
    """Standardise all inputs by their running mean and standard deviation. An encoder's features are always
    standardised (MVP uses a layer norm for them)."""
    scale_rewards: bool = True
    """Divide rewards by the running standard deviation of the discounted return."""
    at_success: str = "stay"
    """The value after an episode that ended with success. stay: the last reward for ever, γ/(1-γ) times it. bootstrap:
    the critic's value of the last state. end: nothing; rewards are positive, so the agent then learns to delay
    success."""
    at_timeout: str = "bootstrap"
    """The value after an episode whose time is over. bootstrap: the critic's value of the last state. end: nothing, as
    in MVP's code."""
    eval_every: int = 0
    """Evaluate the policy on the watching seeds after every `eval_every`-th round; 0 for never."""
    eval_episodes: int = 50
    """Episodes of each of these evaluations."""
    ppo: PpoConfig | None = None
    """Proximal policy optimisation's own keys."""
    sac: SacConfig | None = None
    """Soft actor-critic's own keys."""

    def __post_init__(self) -> None:
        for key, choice, exists in (
            ("lr_schedule", self.lr_schedule, SCHEDULES),
            ("at_success", self.at_success, AT_SUCCESS),
            ("at_timeout", self.at_timeout, AT_TIMEOUT),
        ):
            if choice not in exists:
                raise unknown(f"algo.{key}", choice, exists)
        if not 0 < self.gamma < 1:
            raise UserError(f"algo.gamma={self.gamma}: expected a discount above 0 and below 1.")
        counts = {
            "total_steps": self.total_steps,
            "steps_per_round": self.steps_per_round,
            "num_envs": self.num_envs,
            "eval_episodes": self.eval_episodes,
        }
        for part, names in (
            (self.ppo, ("n_steps", "epochs", "minibatches")),
            (self.sac, ("buffer_size", "batch_size", "train_every", "updates")),
        ):
            counts |= {f"{type(part).__name__[:3].lower()}.{name}": getattr(part, name) for name in names if part}
        for key, value in counts.items():
            if value is not None and value < 1:
                raise UserError(f"algo.{key}={value}: expected at least 1.")
        if self.lr is not None and self.lr <= 0:
            raise UserError(f"algo.lr={self.lr}: expected a learning rate above 0.")
        if self.ppo is not None and self.sac is None and self.iteration_steps % self.ppo.minibatches:
            raise UserError(
                f"algo.ppo.minibatches={self.ppo.minibatches} must divide the {self.iteration_steps} steps of an "
                "iteration (n_steps × num_envs)."
            )

    @property
    def iteration_steps(self) -> int:
        """Environment steps between two bursts of updates."""
        if self.ppo is not None:
            return self.num_envs * self.ppo.n_steps
        assert self.sac is not None  # ExpertConfig checks that one of them is given
        return self.num_envs * self.sac.train_every


@dataclass
class ExpertConfig(RunConfig):
    """Everything that decides the outcome of a run of reinforcement learning."""

    algo: AlgoConfig = field(default_factory=AlgoConfig)
    """How the agent learns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.algo.ppo is None) == (self.algo.sac is None):
            raise UserError("expected exactly one of algo.ppo and algo.sac: write algo=ppo, algo=ppo_mvp or algo=sac.")
        more = [
            f"policy.{key}={value}" for key in ("layer_norm", "feature_dropout") if (value := getattr(self.policy, key))
        ]
        more += ["policy.transformer"] if self.policy.transformer is not None else []
        if more:
            raise UserError(f"reinforcement learning trains a plain MLP, got {', '.join(more)}. Write policy=paper.")
        if self.encoder.train != "none":
            raise UserError(
                f"encoder.train={self.encoder.train}: reinforcement learning here reads frozen features. Leave it out."
            )
        if self.encoder.name == "resnet":
            raise UserError(
                "reinforcement learning here reads frozen features: expected an encoder such as toto_tiny, or "
                "privileged; got encoder=resnet, which is trained end to end."
            )

    def settled(self) -> tuple[float, int]:
        """(learning rate, total environment steps). MVP's numbers if the config leaves them out."""
        robot_task = self.env.name.removesuffix("_pixmc")
        lr, steps = self.algo.lr, self.algo.total_steps
        table = MVP_LR["state" if self.privileged else "pixels"]
        if lr is None or steps is None:
            if robot_task not in table or not self.env.name.endswith("_pixmc"):
                missing = " and ".join(k for k, v in (("algo.lr", lr), ("algo.total_steps", steps)) if v is None)
                raise UserError(
                    f"MVP published no {missing} for env={self.env.name}, only for: "
                    f"{', '.join(f'{name}_pixmc' for name in table)}. Give {missing}."
                )
            lr = table[robot_task] if lr is None else lr
            steps = MVP_ITERATIONS[robot_task.split("_")[1]] * 32 * 256 if steps is None else steps
        return lr, steps

    def schedule(self, iterations: int):
        """The learning rate as stable-baselines3 needs it: a function of the remaining share of the run. It is
        evaluated after an iteration's steps are collected; the first of `iterations` has the full rate."""
        lr, _ = self.settled()

        def rate(left: float) -> float:
            done = max(0.0, 1 - left - 1 / iterations)
            if self.algo.lr_schedule == "constant":
                return lr
            if self.algo.lr_schedule == "linear":
                return lr * (1 - done)
            return lr * half_cosine(done)

        return rate
