"""Evaluation of policies: rollouts on fixed seeds, success statistics, trials, held-out errors, videos."""
