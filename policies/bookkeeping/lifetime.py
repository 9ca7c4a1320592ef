"""What every training run does around its learning: go on or begin, hold what it needs, give it back however it ends."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from policies.bookkeeping import folder as runs
from policies.bookkeeping.config import RunConfig
from policies.features.features import Features, make_features
from policies.fit.rules import check_same
from policies.fit.spec import PolicySpec, read_spec, spec_of
from policies.policy import Policy
from policies.scoring.rollout import VectorEnv


@dataclass
class Trained:
    """The outcome of a run."""

    policy: Policy
    folder: Path
    result: dict
    """The keys of the JSON line."""


class Frame:
    """A run's folder, environments and features while it trains. Use as a context manager.

    With `cfg.resume` the run that fits is found and locked at once; otherwise `begin` makes its folder, once all that can be
    wrong has been found. At the end `vec` and `features` are closed and the run is unlocked; Ctrl-C says what is saved.
    """

    def __init__(self, cfg: RunConfig):
        torch.set_num_threads(cfg.threads)
        self.cfg = cfg
        self.run = runs.resumable(cfg.run, cfg) if cfg.resume else None
        self.vec: VectorEnv | None = None
        self.features: Features | None = None

    def open(self, make_vec: Callable[[RunConfig], VectorEnv], encoder: Callable | None = None) -> Features:
        """Sets `features` and `vec` of a run that learns in its environments. A run that can't go on is refused before the encoder is
        loaded, and an encoder that can't be loaded before any environment starts. `encoder` takes the place of the one that the
        config names."""
        if self.run is not None:
            self.check(spec_of(self.cfg.env.interface(), needs=self.cfg.encoder.needs))
        self.features = None if self.cfg.privileged else self.cfg.features(encoder)
        self.vec = make_vec(self.cfg)
        self.features = self.features or make_features(self.cfg.encoder, privileged_dim=self.vec.privileged_dim)
        return self.features

    def renew(self, make_vec: Callable[[RunConfig], VectorEnv], cfg: RunConfig) -> VectorEnv:
        """Environments of `cfg` in the place of the ones that the run has learned in."""
        assert self.vec is not None
        self.vec.close()
        self.vec = make_vec(cfg)
        return self.vec

    def check(self, spec: PolicySpec) -> None:
        """UserError where `spec`, what the policy's numbers mean now, is not what it was when the run that goes on began."""
        if self.run is not None and (then := self.run.spec()) is not None:
            for said in check_same(read_spec(then, f"{self.run.folder}/{runs.SPEC}"), spec, f"run {self.run.name}"):
                print(f"warning: {said}.", file=sys.stderr)

    def begin(self, spec: PolicySpec | None = None) -> runs.Run:
        """The run: the one that goes on, or a new one, which keeps `spec`, what its policy's numbers mean."""
        if self.run is None:
            self.run = runs.start(self.cfg.run, self.cfg.label, self.cfg)
            if spec is not None:
                self.run.write_spec(spec.plain())
        return self.run

    def title(self, *more: str) -> str:
        """What stands above the run's screen and curve."""
        return ", ".join([self.cfg.label, self.cfg.encoder.name, *more, self.run.name])

    def __enter__(self) -> "Frame":
        return self

    def __exit__(self, kind, *error) -> None:
        if kind is KeyboardInterrupt and self.run is not None:
            saved = f"{self.run.rounds()} rounds are saved in {self.run.folder}"
            print(f"{saved}; resume=true goes on from there.", file=sys.stderr)
        for held in (self.vec, self.features):
            if held is not None:
                held.close()
        if self.run is not None:
            self.run.unlock()
