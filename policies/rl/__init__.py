"""Experts by reinforcement learning: PPO and SAC of stable-baselines3 in our environments.

    config.py     the settings of a run, and MVP's published numbers
    vec.py        our vector environments with stable-baselines3's interface
    networks.py   MVP's networks for stable-baselines3, and how they become a `Policy`
    agent.py      the algorithm, and its state as tensors
    rounds.py     learning in rounds: commit, evaluate, log
    train.py      a whole run

The result is an ordinary `Policy`. If it was trained on the privileged state it is also an expert: with `expert=PATH`,
policies/experts/learned.py labels any state with it.
"""
