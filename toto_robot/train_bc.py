"""Train a policy by behaviour cloning on a set of demonstrations, recorded or imported.

    python -m toto_robot.train_bc env=franka_pick policy=bc_mlp demos=data/pick
    python -m toto_robot.train_bc policy=bc_transformer optim=rpt demos=data/pick data.use=60 encoder.pooling=mean
    python -m toto_robot.train_bc encoder=resnet demos=data/pick run=scratch resume=true
    python -m toto_robot.train_bc env=franka_pick demos=data/pick data.also=[near_nominal,wide]
    python -m toto_robot.train_bc env=franka_pick demos=data/pick history.frames=4 history.every_s=0.2
    python -m toto_robot.train_bc env=none demos=data/my_robot data.held_out=0.1 encoder.crop=centre

policy=bc_mlp is MVP's controller and bc_transformer RPT's. optim=mvp and optim=rpt are their published settings. On a
CPU, optim=fast (MLP) and optim=rpt_fast (transformer) take minutes, and optim=scratch_fast suits encoder=resnet.

data.also draws every recorded step in more looks, as dagger.also does (docs/dagger.md). history.frames shows the policy
earlier frames of the episode.

Frozen features are computed once for each episode and stored in data/features. Everything else goes to
runs/<env>-<time>/ (run= gives another name): config.yaml, metrics.jsonl, tb/, learning_curve.png, rollouts.mp4,
checkpoints/ and policy/. A killed run continues with resume=true and ends with the same policy, bit for bit. At the end
the policy is evaluated on seeds that training can't reach. The last line on stdout is the result as JSON.

env=none clones a set of any robot without an environment. Whole episodes are held out (data.held_out). The policy's
error on them is reported for each action in its own unit, beside the errors of the mean action and of the previous
action. The checkpoint with the smallest error becomes the policy. docs/did_training_work.md explains the figures.
"""

import re

import numpy as np

import envs
from policies.bookkeeping.final_score import report
from policies.cloning.train import TrainBcConfig, train
from policies.scoring.rollout import VectorEnv
from toto_robot import command
from toto_robot.ground.errors import UserError

JOINT = re.compile(r"(robot\d+_)?(joint_pos|q)([._]?\d+)?|q_\w+")
"""Names of joint positions in the proprioception of imported sets."""


def make_vec(cfg: TrainBcConfig) -> VectorEnv:
    """The environments of the evaluations. They render only if the features need it."""
    return cfg.env.make_vec(
        min(cfg.num_envs, max(cfg.episodes, cfg.eval_episodes if cfg.eval_every else 1)),
        render=cfg.renders,
    )


def joints_rad(attrs: dict, proprio: np.ndarray) -> np.ndarray:
    """The arm's joint positions (T, J) in rad, from a set's proprioception (T, P).

    In our simulator's sets they are scaled to the robot's range. In other sets they are in rad, in the entries that
    have the names of joint positions. Raises UserError if there are none.
    """
    if attrs.get("env") in envs.names():
        robot = envs.make(attrs["env"], render=False).robot
        arms = len(robot.arm_joints)
        low, high = robot.scale_low[:arms], robot.scale_high[:arms]
        return low + (proprio[:, :arms] + 1) / 2 * (high - low)
    units, names = str(attrs.get("proprio_units") or ""), list(attrs.get("proprio_names") or [])
    joints = [i for i, name in enumerate(names) if JOINT.fullmatch(name)]
    if not joints or units and not units.startswith("rad"):
        raise UserError(
            f"data.static_filter=true: the set's environment {attrs.get('env')!r} is not ours, its proprio_names are "
            f"{', '.join(names) or 'none'} and its proprio_units {units!r}; expected entries named joint_pos.0 or q_0, "
            "and so on, in units that begin with rad or are not given. Switch the filter off, or import with "
            "proprio=[joint_pos]."
        )
    return proprio[:, joints]


def main(cfg: TrainBcConfig) -> dict:
    return report(train(cfg, make_vec, joints_rad=joints_rad))


if __name__ == "__main__":
    command.run(main, TrainBcConfig, "train_bc")
