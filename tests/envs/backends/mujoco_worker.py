"""A worker of our own for the protocol of `envs.backends.messages`: MuJoCo in its own process, and ways to misbehave.

    python tests/envs/backends/mujoco_worker.py --fd N [--rules] [--at step --do hang]

With --rules the rules are the Isaac Gym worker's and only the physics is MuJoCo's; else it is `RobotEnv` as it is.
"""

import argparse
import os
import signal
import socket
import sys
import time

import numpy as np

import envs
from envs.backends import messages
from envs.backends.isaacgym_worker import FrankaPick

STATE = ("sim_state", "protocol_state", "task_state", "steps", "look_seed", "success")


class World:
    """`RobotEnv`s behind a worker's interface."""

    def __init__(self, fields):
        if fields["name"] not in envs.names():
            raise messages.Refused(f"env={fields['name']!r} does not exist; there are: {', '.join(envs.names())}")
        self.n, self.privileged = fields["num_envs"], fields["privileged"]
        self.envs = [
            envs.make(fields["name"], privileged=True, render=fields["render"], image_size=fields["image_size"])
            for _ in range(self.n)
        ]
        one = self.envs[0]
        self.spec = dict(
            action_dim=one.action_space.shape[0],
            proprio_dim=one.observation_space["proprio"].shape[0],
            privileged_dim=one.observation_space["privileged"].shape[0],
            control_hz=one.control_hz,
            horizon=one.horizon,
        )
        self.seen = [env.reset(seed=0)[0] for env in self.envs]
        self.acted = dict(
            reward=np.zeros(self.n),
            terminated=np.zeros(self.n, bool),
            truncated=np.zeros(self.n, bool),
            success=np.zeros(self.n, bool),
            steps=np.zeros(self.n, np.int64),
        )

    def observe(self):
        keys = ("rgb", "proprio") + (("privileged",) if self.privileged else ())
        return {key: np.stack([obs[key] for obs in self.seen]) for key in keys}

    def reset(self, seeds, indices):
        for seed, i in zip(seeds.tolist(), indices.tolist()):
            self.seen[i] = self.envs[i].reset(seed=seed)[0]
            for array in self.acted.values():
                array[i] = 0
        return self.observe()

    def step(self, actions, active):
        self.acted["reward"][:] = 0
        for i in np.flatnonzero(active):
            self.seen[i], reward, terminated, truncated, info = self.envs[i].step(actions[i])
            for key, value in dict(info, reward=reward, terminated=terminated, truncated=truncated).items():
                self.acted[key][i] = value
        return {**self.observe(), **self.acted}

    def get_state(self):
        return {key: np.stack([env.snapshot()[key] for env in self.envs]) for key in STATE}

    def set_state(self, arrays):
        self.seen = [env.restore({key: arrays[key][i] for key in STATE}) for i, env in enumerate(self.envs)]
        return self.observe()

    def close(self):
        print("closed", flush=True)


class MujocoScene:
    """The scene of `FrankaPick` with MuJoCo's physics: what `IsaacScene` is with PhysX's."""

    def __init__(self, fields):
        import mujoco

        self.mujoco = mujoco
        self.envs = [
            envs.make("franka_pick_pixmc", render=False, image_size=fields["image_size"])
            for _ in range(fields["num_envs"])
        ]
        n = len(self.envs)
        self.q, self.dq, self.cube = np.zeros((n, 9)), np.zeros((n, 9)), np.zeros((n, 13))
        self.tips, self.force = np.zeros((n, 2, 3)), np.zeros(n)

    def place(self, indices, q, dq, cube):
        for i, *row in zip(np.asarray(indices).tolist(), q, dq, cube):
            env = self.envs[i]
            env.reset(seed=0)
            env.data.qpos[:9], env.data.qvel[:9] = row[0], row[1]
            at = env.task.start
            env.data.qpos[at : at + 3], env.data.qpos[at + 3 : at + 7] = row[2][:3], row[2][[6, 3, 4, 5]]
            env.data.qvel[9:] = row[2][7:]
            self.mujoco.mj_forward(env.model, env.data)
            self._read(i)

    def advance(self, targets, active):
        for i in np.flatnonzero(active):
            data = self.envs[i].data
            data.ctrl[:] = targets[i]
            self.mujoco.mj_step(self.envs[i].model, data, 8)
            self.mujoco.mj_forward(self.envs[i].model, data)
            self._read(i)

    def _read(self, i):
        env = self.envs[i]
        at, data = env.task.start, env.data
        self.q[i], self.dq[i], self.tips[i] = data.qpos[:9], data.qvel[:9], env.task.fingertips(data)
        self.cube[i] = [*data.qpos[at : at + 3], *data.qpos[at + 4 : at + 7], data.qpos[at + 3], *data.qvel[9:]]
        self.force[i] = 2.0 * env.task._link_touches(data)

    def pictures(self, size):
        return np.zeros((len(self.envs), size, size, 3), np.uint8)

    def close(self):
        pass


def misbehave(what, sock):
    if what == "die":
        print("about to die", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(600)
    if what == "crash":
        raise ArithmeticError("a bug of the worker")
    if what == "refuse":
        raise messages.Refused("this is not allowed; there are: other things")
    if what == "print":
        sock.sendall(b"Importing module 'gym_38' ...\n" * 4)
    if what == "wrong shape":
        messages.send(sock, "done", {}, {"proprio": np.zeros((1, 2), np.float32)})
    if what == "wrong answer":
        messages.send(sock, "hello")
    if what == "huge":
        sock.sendall(messages.PREFIX.pack(messages.MAGIC, 100, 2**60) + b"x" * 200)
    if what == "old":
        messages.send(sock, "spec", {"protocol": messages.PROTOCOL, "version": 0})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--at", default="")
    parser.add_argument("--do", default="")
    given = parser.parse_args()
    sock = socket.socket(fileno=given.fd)

    def make_world(fields):
        if given.at == "hello":
            misbehave(given.do, sock)
        world = FrankaPick(fields, MujocoScene) if given.rules else World(fields)
        if given.at in ("reset", "step"):
            plain = getattr(world, given.at)
            setattr(world, given.at, lambda *args: (misbehave(given.do, sock), plain(*args))[1])
        return world

    messages.serve(sock, make_world)


if __name__ == "__main__":
    sys.exit(main())
