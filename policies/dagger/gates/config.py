"""Settings: which gate decides who acts, and its thresholds."""

from dataclasses import dataclass

from toto_robot.ground.errors import UserError, unknown

GATES = ("beta", "safe", "lazy", "ensemble", "thrifty", "hg")
SCHEDULES = ("linear", "exponential", "constant")
PERSONS = ("scripted", "keyboard")


@dataclass
class GateConfig:
    """Who acts in each step, and which states the expert is asked to label. In the first round the expert always acts.

    A discrepancy is the root mean square of the difference of two actions, over the components, which lie in [-1, 1].
    """

    name: str = "beta"
    """beta (the expert acts at random and labels everything), safe, lazy, ensemble, thrifty or hg."""
    schedule: str = "linear"
    """beta: how the expert's share of the actions falls: linear, exponential or constant."""
    rounds: int = 4
    """beta, linear: the round at which the share reaches 0."""
    decay: float = 0.5
    """beta, exponential: the share in round k is decay^k. constant: the share in every round except the first."""
    per: str = "step"
    """beta: whether the expert takes over for single steps (step) or for whole episodes (episode)."""
    threshold: float = 0.3
    """safe, lazy, ensemble, hg: above this discrepancy the expert should act."""
    back: float = 0.15
    """lazy, thrifty, hg: below this discrepancy the student gets the arm back."""
    audit: float = 0.05
    """safe, lazy: share of the student's states that are labelled at random, so that the gate's classifier also sees
    states that it would not flag. Ours, not the papers'. 0 for none."""
    rule: str = "both"
    """ensemble: both (discrepancy or doubt; the discrepancy asks the expert in every state), or doubt alone."""
    doubt: float = 0.15
    """ensemble: above this standard deviation of the members' actions the expert should act."""
    budget: float = 0.1
    """thrifty: the share of the student's states in which the gate may call the expert."""
    gamma: float = 0.998
    """thrifty: discount of the chance of success for each step. It must be near 1: otherwise every episode looks lost
    at its beginning."""
    members: int = 5
    """ensemble, thrifty: number of networks in the ensemble."""
    updates: int = 300
    """Minibatches after each round for each network of the gate."""
    patience: int = 3
    """hg with a scripted person: the person reacts when a discrepancy has lasted for this many steps."""
    person: str = "scripted"
    """hg: keyboard (a person at the terminal, one environment), or scripted (the expert replaces the person)."""
    live: str | None = "view.png"
    """hg with a keyboard: a PNG that always shows the newest frame. A window opens too if there is a display."""
    speed_m_s: float = 0.25
    """hg with a keyboard: the hand's top speed."""

    def __post_init__(self) -> None:
        for key, exists in (
            ("name", GATES),
            ("schedule", SCHEDULES),
            ("per", ("step", "episode")),
            ("rule", ("both", "doubt")),
            ("person", PERSONS),
        ):
            if getattr(self, key) not in exists:
                raise unknown(f"gate.{key}", getattr(self, key), exists)
        for key in ("rounds", "updates", "patience", "members"):
            if getattr(self, key) < 1:
                raise UserError(f"gate.{key}={getattr(self, key)}: expected at least 1.")
        for key in ("decay", "audit", "gamma"):
            if not 0 <= getattr(self, key) <= 1:
                raise UserError(f"gate.{key}={getattr(self, key)}: expected 0 to 1.")
        if not (0 < self.back <= self.threshold and self.doubt > 0 and 0 < self.budget < 1 and self.speed_m_s > 0):
            raise UserError(
                "gate: expected 0 < back <= threshold, doubt > 0, 0 < budget < 1 and speed_m_s > 0; got "
                f"back={self.back}, threshold={self.threshold}, doubt={self.doubt}, budget={self.budget}, "
                f"speed_m_s={self.speed_m_s}."
            )
        if self.name in ("ensemble", "thrifty") and self.members < 2:
            raise UserError(f"gate.members={self.members}: an ensemble needs at least 2.")

    @property
    def sits(self) -> bool:
        """Whether a person sits at the keyboard."""
        return self.name == "hg" and self.person == "keyboard"

    def beta(self, round_: int) -> float:
        """The expert's scheduled share of the actions in round `round_`: 1 in the first round. Later 0 if a gate
        decides."""
        if round_ == 0:
            return 1.0
        if self.name != "beta":
            return 0.0
        if self.schedule == "linear":
            return max(0.0, 1 - round_ / self.rounds)
        return self.decay**round_ if self.schedule == "exponential" else self.decay
