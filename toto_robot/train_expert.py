"""Train a policy from reward alone, by PPO or SAC of stable-baselines3, on the privileged state or on frozen features.

    python -m toto_robot.train_expert env=franka_reach
    python -m toto_robot.train_expert env=franka_pick algo=ppo_long
    python -m toto_robot.train_expert env=franka_pick_pixmc algo=ppo_mvp
    python -m toto_robot.train_expert env=franka_reach algo=sac run=sac
    python -m toto_robot.train_expert env=franka_reach_pixmc algo=ppo_mvp encoder=toto_tiny encoder.pooling=mean
    python -m toto_robot.train_dagger env=franka_reach expert=runs/NAME

algo=ppo is tuned for two cores. algo=ppo_long takes eight times as many steps between updates (for tasks with a grasp).
algo=ppo_mvp is MVP's PPO with its published numbers for each PixMC environment. algo=sac is soft actor-critic.

On the privileged state (the default) the result is an expert: with expert=runs/NAME, train_dagger, evaluate and
demos.record label any state with it. On an encoder's features (MVP's published baseline) the result is a policy like
any other, for evaluate and run_real.

Everything goes to runs/<env>-<time>/ (run= gives another name): config.yaml, metrics.jsonl, tb/, learning_curve.png,
rollouts.mp4, checkpoints/ and policy/, which is written after every round. Ctrl-C or a crash loses at most the current
round: the same command with resume=true continues and ends with the same policy, bit for bit. At the end the policy is
evaluated on seeds that training can't reach. The last line on stdout is the result as JSON.
"""

from policies.bookkeeping.final_score import report
from policies.rl.config import ExpertConfig
from policies.rl.train import train
from policies.scoring.rollout import VectorEnv
from toto_robot import command

SMALLEST_FRAME = 8
"""Pixels on the side of the blank frames in environments that don't render."""


def make_vec(cfg: ExpertConfig) -> VectorEnv:
    """The environments of a run. They render only if the features need it."""
    return cfg.env.make_vec(
        cfg.algo.num_envs,
        privileged=cfg.privileged,
        render=cfg.renders,
        **({} if cfg.renders else {"image_size": SMALLEST_FRAME}),
    )


def main(cfg: ExpertConfig) -> dict:
    return report(train(cfg, make_vec))


if __name__ == "__main__":
    command.run(main, ExpertConfig, "train_expert")
