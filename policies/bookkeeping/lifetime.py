"""What every training run does around its learning: start or resume, hold its resources, and free them at any end.

On the arrow: `policies.dagger.train`, `policies.cloning.train` and `policies.rl.train` learn inside a `Lifetime`. Its
folder is `policies.bookkeeping.run_folder`'s.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from policies.bookkeeping.config import RunConfig
from policies.bookkeeping.run_folder import SPEC, RunFolder, resumable_run, start_run
from policies.features.features import Features, make_features
from policies.fit.rules import check_same
from policies.fit.spec import PolicySpec, read_spec, spec_of
from policies.policy import Policy
from policies.scoring.rollout import VectorEnv
from toto_robot.features.contract import FrozenEncoder

Config = TypeVar("Config", bound=RunConfig)


@dataclass
class Trained:
    """The outcome of a run."""

    policy: Policy
    folder: Path
    result: dict
    """The keys of the JSON line."""


class Lifetime(Generic[Config]):
    """A run's folder, environments and features while it trains. Use it as a context manager.

    With `cfg.resume`, the run that fits is found and locked at once. Otherwise `begin` makes the folder, after
    everything that can be wrong has been checked. At the end, `vec` and `features` are closed and the run is unlocked.
    Ctrl-C prints what is saved.
    """

    def __init__(self, cfg: Config):
        torch.set_num_threads(cfg.threads)
        self.cfg = cfg
        self.run = resumable_run(cfg.run, cfg) if cfg.resume else None
        self.vec: VectorEnv | None = None
        self.features: Features | None = None

    def open(
        self, make_vec: Callable[[Config], VectorEnv], encoder: FrozenEncoder | None = None
    ) -> tuple[VectorEnv, Features]:
        """Make the environments and the features of a run that learns in its environments.

        The order matters: a run that can't be resumed is refused before the encoder is loaded, and an encoder that
        can't be loaded is refused before any environment starts. `encoder` replaces the one that the config names.
        """
        if self.run is not None:
            self.check(spec_of(self.cfg.env.interface(), needs=self.cfg.encoder.needs))
        self.features = None if self.cfg.privileged else self.cfg.features(encoder)
        self.vec = make_vec(self.cfg)
        self.features = self.features or make_features(self.cfg.encoder, privileged_dim=self.vec.privileged_dim)
        return self.vec, self.features

    def renew(self, make_vec: Callable[[Config], VectorEnv], cfg: Config) -> VectorEnv:
        """Environments of `cfg` in the place of the ones that the run has learned in."""
        assert self.vec is not None
        self.vec.close()
        self.vec = make_vec(cfg)
        return self.vec

    def check(self, spec: PolicySpec) -> None:
        """Compare `spec` with what the policy's numbers meant when the resumed run began. Raises UserError if they
        mean something else now. Prints a warning for smaller differences."""
        if self.run is not None and (then := self.run.spec()) is not None:
            for difference in check_same(read_spec(then, f"{self.run.folder}/{SPEC}"), spec, f"run {self.run.name}"):
                print(f"warning: {difference}.", file=sys.stderr)

    def begin(self, spec: PolicySpec | None = None) -> RunFolder:
        """The resumed run, or a new one, which stores `spec`: what its policy's numbers mean."""
        if self.run is None:
            self.run = start_run(self.cfg.run, self.cfg.label, self.cfg)
            if spec is not None:
                self.run.write_spec(spec.plain())
        return self.run

    def title(self, *more: str) -> str:
        """The title of the run's screen and learning curve. Call it after `begin`."""
        assert self.run is not None
        return ", ".join([self.cfg.label, self.cfg.encoder.name, *more, self.run.name])

    def __enter__(self) -> "Lifetime[Config]":
        return self

    def __exit__(self, kind, *error) -> None:
        if kind is KeyboardInterrupt and self.run is not None:
            saved = f"{self.run.rounds()} rounds are saved in {self.run.folder}"
            print(f"{saved}; resume=true goes on from there.", file=sys.stderr)
        for resource in (self.vec, self.features):
            if resource is not None:
                resource.close()
        if self.run is not None:
            self.run.unlock()
