"""Recorded states drawn in further looks: the simulator is put into each state and draws the wrist camera again.

A set that was recorded in one of our environments holds the simulator's state of every step. So a demonstration becomes
several samples of each step, as `dagger.also` makes them of a visited state. No physics runs.

On the arrow: `demos.store` (states) → `envs` (pictures) → `policies.cloning.demonstrations` (features).
"""

import numpy as np

import envs
from demos.recording.recorder import STATE
from demos.recording.restoring import environment_of, look_seeds, missing_states, snapshot
from envs.drawing import renderer
from envs.looks import training_look
from policies.cloning.episodes import DataConfig, DemoReader, camera_of
from policies.features.cache import digest
from toto_robot.ground.errors import UserError
from toto_robot.ground.seeds import key64

PROBED = 3
"""Pictures of an episode that name its drawn looks in the cache."""


class Redrawing:
    """Draws the states of a set in the looks `data.also`.

    The i-th look of a step is a function of `data.look_seed`, of the episode's own look seed, of the step and of i. It
    does not depend on the run, so runs with different seeds share the cached features.
    """

    def __init__(self, demos: DemoReader, config: DataConfig, path, steady: bool = False):
        """`steady`: an episode keeps its i-th look, for a policy that sees several frames of it.

        Raises UserError if the states of the set `demos` at `path` can't be drawn again."""
        self.steady = steady
        self.demos, self.also, self.seed = demos, tuple(config.also), config.look_seed
        asked = f"data.also={list(self.also)}"
        if demos.attrs.get("env") not in envs.names():
            raise UserError(
                f"{asked}: {path} is of {demos.attrs.get('env')!r}, which is not an environment of ours, so its states "
                "can't be drawn again. Leave data.also out; data.augment changes the recorded frames."
            )
        if missing := missing_states(demos.keys):
            raise UserError(
                f"{asked}: {path} has no {', '.join(missing)}, so its states can't be drawn again. Record it with "
                "`python -m demos.record`, or leave data.also out."
            )
        if (camera := camera_of(demos, config)) != "wrist":
            raise UserError(f"{asked} draws the wrist camera only, but data.camera={camera}. Leave one of them out.")
        # It draws only what is asked for, and not the episode's own look.
        self.env = environment_of(demos, path, "leave data.also out", render=False)
        self._seeds = look_seeds(demos)

    def __call__(self, episode: int, steps=None) -> np.ndarray:
        """Frames uint8 (T, K, H, W, 3) of an episode's `steps` (all by default), in each of the K looks."""
        keys = [*STATE, *(key for key in ("success",) if key in self.demos.keys)]
        data = self.demos.episode(episode, keys=keys)
        return np.stack([self._draw(data, int(t), episode) for t in (steps if steps is not None else self._all(data))])

    def name(self, episode: int) -> str:
        """A digest of the episode's first, middle and last pictures in each look. It changes when the states, the
        looks or the renderer change, so features of other pictures are never taken for these."""
        length = self._all(self.demos.episode(episode, keys=["sim_state"]))[-1]
        probed = np.linspace(0, length, PROBED).astype(int)
        return digest(
            renderer(self.env.model), self.seed, self.steady, np.ascontiguousarray(self(episode, probed)).tobytes()
        )

    @staticmethod
    def _all(data: dict[str, np.ndarray]) -> range:
        return range(len(data["sim_state"]))

    def _draw(self, data: dict[str, np.ndarray], t: int, episode: int) -> np.ndarray:
        """(K, H, W, 3) of step `t`."""
        own = int(self._seeds[episode])
        self.env.restore(snapshot(self.demos, data, t, self.env, own))
        frames = []
        for i, name in enumerate(self.also):
            rng = np.random.default_rng((key64("redrawing", self.seed, own), 0 if self.steady else self.env.steps, i))
            frames.append(self.env.drawn_as(training_look(name, rng), int(rng.integers(2**31))))
        return np.stack(frames)
