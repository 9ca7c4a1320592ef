"""Settings that every training run has."""

import pytest

from envs.appearance import GREY_LOOKS
from envs.looks import TRAINING
from policies.dagger.train import TrainConfig
from policies.rl.config import ExpertConfig
from policies.scoring.rollout import EnvConfig
from toto_robot.ground.errors import UserError


@pytest.mark.parametrize("kind", [TrainConfig, ExpertConfig])
def test_no_run_is_trained_in_looks_that_an_evaluation_draws(kind):
    for appearance in ("random", "random_each_step", "cluttered", "photo"):
        with pytest.raises(UserError, match="nominal, near_nominal, wide, mixed"):
            kind(env=EnvConfig(appearance=appearance))
    for name in (*TRAINING, *GREY_LOOKS):
        assert TrainConfig(env=EnvConfig(appearance=name)).env.appearance == name
