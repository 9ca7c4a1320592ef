"""The rounds of a run: stable-baselines3 learns, and between its iterations this module commits, evaluates and logs.

On the arrow: `policies.rl.train` makes a `Session`. Its agent acts in `FlatVec`, and its result is a `Policy`.
"""

import time

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

import envs
from policies.bookkeeping.recent_success import mean_outcome, settled, still_needed
from policies.bookkeeping.run_folder import RunFolder
from policies.bookkeeping.screen import Progress
from policies.bookkeeping.state import under
from policies.features.features import Features
from policies.fit.spec import spec_from_env
from policies.network.normalise import Normaliser
from policies.policy import Policy, PolicyNet
from policies.rl.agent import (
    inputs_of,
    loss_of,
    make_agent,
    replay,
    replay_rows,
    restore_agent,
    restore_returns,
    state_of,
)
from policies.rl.config import ExpertConfig
from policies.rl.networks import export, head_for
from policies.rl.vec import FlatVec
from policies.scoring.rollout import VectorEnv, evaluate, summarise
from policies.seeds import stream, watching_seeds
from toto_robot.ground.finite import check_loss

GROWTH, FEWEST = 1.2, 1000
"""New input statistics are used once there are FEWEST observations, and again whenever their number has grown by
GROWTH."""


class Session:
    """An agent in its environments."""

    def __init__(self, cfg: ExpertConfig, vec: VectorEnv, features: Features):
        self.cfg, self.vec, self.features = cfg, vec, features
        self.head = head_for(cfg.policy, cfg.privileged, squash=cfg.algo.sac is not None)
        self.spec = spec_from_env(vec, needs=features.needs)
        self.dims = (features.shape, vec.proprio_dim, vec.action_dim, cfg.encoder.pooling, ())
        _, total = cfg.settled()
        size = cfg.algo.iteration_steps
        self.iterations = -(-total // size)
        self.per_round = max(1, round(cfg.algo.steps_per_round / size))
        self.rounds = -(-self.iterations // self.per_round)
        self.total_steps = self.iterations * size
        self.flat = FlatVec(
            vec,
            features,
            cfg.seed,
            at_success=cfg.algo.at_success,
            ends_at_success=_ends_at_success(vec),
            at_timeout=cfg.algo.at_timeout,
            gamma=cfg.algo.gamma,
        )
        torch.manual_seed(stream(cfg.seed, "weights")[0])
        self.agent = make_agent(cfg, self.flat, PolicyNet(self.head, *self.dims), self.iterations)

    def policy(self) -> Policy:
        """The agent's actions without exploration, as a `Policy`."""
        net = export(self.agent, PolicyNet(self.head, *self.dims))
        policy = Policy(net, self.features, self.cfg.env.name, self.head, (), self.spec)
        policy.notes = {
            "trained_by": "ppo" if self.cfg.algo.ppo is not None else "sac",
            "control_hz": self.vec.control_hz,
        }
        return policy

    def learn(self, run: RunFolder, screen: Progress) -> dict:
        """Run all rounds that are not committed yet. Returns the facts after the last one."""
        done = run.rounds()
        tensors: dict[str, Tensor] = {}
        facts: dict = {"env_steps": 0, "train_seconds": 0.0, "updates": 0, "ended": []}
        if done:
            tensors, known = run.state(done)
            facts |= known
            restore_agent(self.agent, under(tensors, "agent."))
            replay(self.agent, run.data(done))
            self.agent.num_timesteps, self.agent._n_updates = facts["env_steps"], facts["updates"]
            if done < self.rounds:
                self.flat.restore(under(tensors, "vec."))
        screen.resume(run.truncate_metrics(done), facts["env_steps"], facts["train_seconds"])
        if done == self.rounds:
            return facts
        rounds = Rounds(self, run, screen, done, facts, tensors)
        left = self.total_steps - facts["env_steps"]
        try:
            self.agent.learn(left, callback=rounds, log_interval=None, reset_num_timesteps=False)
        except ValueError:  # the distributions of torch refuse parameters that are not finite
            rounds.check()
            raise
        return rounds.facts


class Rounds(BaseCallback):
    """Called by stable-baselines3 while it learns. A round ends between two iterations."""

    def __init__(self, session: Session, run: RunFolder, screen: Progress, done: int, facts: dict, tensors: dict):
        super().__init__()
        self.session, self.run, self.screen, self.round, self.facts = session, run, screen, done, facts
        self.tensors = tensors
        self.ended = list(facts["ended"])
        cfg, inputs = session.cfg, inputs_of(session.agent)[0]
        self.whole_input = cfg.algo.normalise
        self.features = Normaliser(tuple(inputs.features.mean.shape))
        self.proprio = Normaliser(tuple(inputs.proprio.mean.shape))
        for name in ("features", "proprio"):
            if tensors:
                getattr(self, name).load_state_dict(under(tensors, f"tracked.{name}."))

    def _on_training_start(self) -> None:
        restore_returns(self.model, under(self.tensors, "agent."))
        self.tensors = {}
        self._begin()

    def _begin(self) -> None:
        """Begin a round. Everything random in it is a function of the run's seed and the round."""
        torch.manual_seed(stream(self.session.cfg.seed, "rl", self.round)[0])
        np.random.seed(stream(self.session.cfg.seed, "rl", self.round)[1])  # stable-baselines3 draws from it
        self.model.action_space.seed(stream(self.session.cfg.seed, "rl", self.round)[2] % 2**31)
        self.episodes, self.started = 0, time.perf_counter()
        self.screen.begin(self.round)

    def check(self) -> None:
        """Raise UserError if the agent has diverged: a weight, or its newest loss, is not finite."""
        loss, weights = loss_of(self.model), sum(float(p.detach().sum()) for p in self.model.policy.parameters())
        learned = any(name.startswith("train/") for name in self.model.logger.name_to_value)  # since the process began
        found = {"sum_of_the_weights": weights} | ({"loss": loss} if learned else {})
        remedy = "Start again with a smaller algo.lr."
        check_loss(f"{self.num_timesteps:,} steps (round {self.round + 1})", remedy, **found)

    def _on_rollout_start(self) -> None:
        self.check()
        iterations = self.num_timesteps // self.session.cfg.algo.iteration_steps
        if iterations and iterations % self.session.per_round == 0 and self.num_timesteps > self.facts["env_steps"]:
            self._commit()
            self._begin()
        self._adopt()

    def _on_step(self) -> bool:
        self._track(self.locals["new_obs"])
        for info in self.locals["infos"]:
            if "episode" in info:
                began = self.num_timesteps // self.session.vec.num_envs - info["episode"]["l"]
                self.ended.append((began, bool(info["is_success"]), float(info["episode"]["r"])))
                self.episodes += 1
        self.screen.stepped(self.session.vec.num_envs)
        return True

    def _on_training_end(self) -> None:
        self.check()
        self._commit()

    def _track(self, obs: np.ndarray) -> None:
        inputs = inputs_of(self.model)[0]
        if self.whole_input or self.session.features.needs == "rgb":
            self.features.update(torch.from_numpy(obs[:, : inputs.size].reshape(-1, *inputs.shape)))
        if self.whole_input and inputs.project is not None:
            self.proprio.update(torch.from_numpy(obs[:, inputs.size :]))

    def _adopt(self) -> None:
        for inputs in inputs_of(self.model):
            for mine, its in ((self.features, inputs.features), (self.proprio, inputs.proprio)):
                if mine.count >= max(FEWEST, GROWTH * its.count):
                    its.load_state_dict(mine.state_dict())

    def _commit(self) -> None:
        """End a round: measure, evaluate, commit, log."""
        session, agent, seconds = self.session, self.model, time.perf_counter() - self.started
        steps = self.num_timesteps - self.facts["env_steps"]
        now, horizon = self.num_timesteps // session.vec.num_envs, session.vec.horizon
        counted = settled(self.ended, now, horizon)
        self.ended = still_needed(self.ended, now, horizon)
        self.facts = {
            "env_steps": self.num_timesteps,
            "train_seconds": self.facts["train_seconds"] + seconds,
            "updates": agent._n_updates,
            "ended": self.ended,
        }
        row = {
            "round": self.round,
            "env_steps": self.num_timesteps,
            "loss": loss_of(agent),
            "lr": agent.lr_schedule(agent._current_progress_remaining),
            "finished_episodes": self.episodes,
            "student_success": mean_outcome(counted),
            "episode_reward": mean_outcome(counted, 2),
            "steps_per_s": steps / seconds,
            "train_seconds": self.facts["train_seconds"],
        }
        state = {f"agent.{k}": v for k, v in state_of(agent).items()}
        state |= {f"vec.{k}": v for k, v in session.flat.state().items()}
        for name in ("features", "proprio"):
            state |= {f"tracked.{name}.{k}": v for k, v in getattr(self, name).state_dict().items()}
        row["eval_success"] = self._watch()
        saving = time.perf_counter()
        session.policy().save(self.run.folder / "policy")
        self.run.save_round(self.round, replay_rows(agent, steps // session.vec.num_envs), state, self.facts)
        self.screen.end(row)
        self.facts["train_seconds"] += time.perf_counter() - saving
        self.round += 1

    def _watch(self) -> float | None:
        """Success on the watching seeds if this round asks for it. The running episodes are restored afterwards."""
        algo, session = self.session.cfg.algo, self.session
        if not algo.eval_every or (self.round % algo.eval_every and self.round + 1 < session.rounds):
            return None
        self.screen.begin(self.round, "evaluating")
        states = session.vec.get_state()
        episodes = evaluate(session.vec, session.policy().act, watching_seeds(session.cfg.seed, algo.eval_episodes))
        session.vec.set_state(states)
        return summarise(episodes)["success"]


def _ends_at_success(vec: VectorEnv) -> bool:
    """Whether a success ends the episode, at the protocol of `vec`."""
    return envs.make(vec.name, render=False).protocol.ends_at_success if vec.name in envs.names() else True
