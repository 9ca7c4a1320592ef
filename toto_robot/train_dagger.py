"""Train a policy by DAgger: an expert labels every state that the student visits, on frozen features.

    python -m toto_robot.train_dagger env=franka_pick
    python -m toto_robot.train_dagger env=franka_pick encoder=dvae_codes encoder.pooling=attention seed=1
    python -m toto_robot.train_dagger env=franka_pick run=first resume=true
    python -m toto_robot.train_dagger env=franka_pick dagger=robust
    python -m toto_robot.train_dagger env=franka_pick history.frames=4 history.every_s=0.2
    python -m toto_robot.train_dagger env=franka_pick gate=thrifty gate.budget=0.05
    python -m toto_robot.train_dagger env=franka_pick gate=hg gate.person=keyboard dagger=person
    python -m toto_robot.train_dagger env=franka_pick gate=vanilla dagger=s2v learner=s2v policy=paper

gate= chooses who acts and which states the expert labels: beta (a schedule, the default), vanilla, safe, lazy,
ensemble, thrifty, or hg. With hg a person watches view.png (or a window), takes the arm with t, moves it with the keys
of demos.record source=keyboard, and gives it back with t. Queries and interventions are reported beside success.

Everything goes to runs/<env>-<time>/ (run= gives another name): config.yaml, metrics.jsonl, tb/, learning_curve.png,
rollouts.mp4, checkpoints/ and policy/. A killed run loses at most its current round: the same command with resume=true
continues and ends with the same policy, bit for bit. At the end the policy is evaluated on seeds that training can't
reach. The last line on stdout is the result as JSON.
"""

import sys

from policies.bookkeeping.final_score import report
from policies.dagger.gates.person import at_keyboard
from policies.dagger.train import TrainConfig, train
from policies.experts import ScriptedPick
from policies.experts.choose import make_labeller
from policies.scoring.rollout import VectorEnv
from toto_robot import command


def make_vec(cfg: TrainConfig) -> VectorEnv:
    """The environments of a training run. They render only if the features need it.

    The expert labels their states, or a person at the keyboard. With a person, they run in this process.
    """
    sits = cfg.gate.sits
    if sits:
        labeller = at_keyboard(cfg.gate, cfg.dagger.num_envs, ScriptedPick().drive)
        print(labeller.help, file=sys.stderr)
    else:
        labeller = make_labeller(cfg.expert, cfg.env.name)
    return cfg.env.make_vec(
        cfg.dagger.num_envs,
        privileged=cfg.privileged,
        render=cfg.renders,
        labeller=labeller,
        **({"appearance": cfg.dagger.appearance} if cfg.dagger.appearance else {}),
        **({"also": tuple(cfg.dagger.also), "also_steady": cfg.history.on} if cfg.dagger.also else {}),
        **({"workers": 0} if sits else {}),
    )


def main(cfg: TrainConfig) -> dict:
    return report(train(cfg, make_vec))


if __name__ == "__main__":
    command.run(main, TrainConfig, "train_dagger")
