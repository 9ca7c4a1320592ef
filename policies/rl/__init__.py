"""Experts by reinforcement learning: PPO and SAC of stable-baselines3 in our environments.

    config.py     what a run is told, and MVP's published numbers
    vec.py        our vector environments as stable-baselines3's
    networks.py   MVP's networks for stable-baselines3, and the way from them to a `Policy`
    agent.py      the algorithm, and its state as tensors
    training.py   a run: rounds, checkpoints, evaluation

What comes out is an ordinary `Policy`. One that was trained on the privileged state is also an expert: `expert=PATH`
has policies/experts/learned.py label any state with it.
"""
