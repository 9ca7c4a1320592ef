"""The policies of the policy's process."""

import numpy as np
import pytest
import torch

from deploy.processes.policy import FolderPolicy, ScriptedPolicy
from deploy.teaching.replaying import RecordedActions
from deploy.teaching.teleop_session import Driven
from policies import look
from policies.features.features import EncoderConfig, make_features
from policies.history import History
from policies.network.heads import HeadConfig
from policies.policy import Policy
from toto_robot.features.folder import save_model
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig


@pytest.mark.parametrize("kind", [ScriptedPolicy, RecordedActions, Driven])
def test_whatever_acts_without_pictures_says_that_they_fit(kind):
    """Preflight asks each of them, and a replay, a person or the scripted expert is never refused because of a look."""
    answer = kind.look_at(object.__new__(kind), np.zeros((2, 8, 8, 3), np.uint8))
    assert (answer.verdict, bool(answer.said)) == (look.IN, True)


def test_a_policy_with_a_history_acts_on_the_frames_of_its_own_episode(tmp_path):
    torch.manual_seed(0)
    dvae = DVAE(DVAEConfig(vocab_size=32, n_hid=8, decoder_hid=8, n_init=8, n_blk_per_group=1))
    toto = Toto(TotoConfig(vocab_size=36, width=32, heads=2, layers=2, intermediate=32, init_std=0.2))
    save_model(tmp_path / "model", toto, dvae, layer=1, pooling="grid")
    features = make_features(EncoderConfig(str(tmp_path / "model"), dtype="float32"))
    trained = Policy.create(features, None, 4, 2, HeadConfig(16, 8, [16]), history=History(2, 1, first=1))
    trained.net.head.action.weight.data.normal_()
    acting = FolderPolicy(str(trained.save(tmp_path / "policy")))
    frames = np.random.default_rng(0).integers(0, 256, (4, 128, 128, 3), dtype=np.uint8)
    ask = lambda frame, episode, index: acting.act({"rgb": frame, "proprio": np.zeros(4, np.float32)}, episode, index)
    warm_up = ask(np.zeros_like(frames[0]), -1, 0)
    once = [ask(frames[i], 0, i) for i in range(4)]
    again = [ask(frames[i], 1, i) for i in range(4)]
    assert np.array_equal(once, again) and not np.allclose(once[0], warm_up)
    late = ask(frames[2], 2, 2)  # the first two requests were missed: nothing is left of the episode before
    assert not np.allclose(late, once[2]) and np.array_equal(late, ask(frames[2], 3, 0))
