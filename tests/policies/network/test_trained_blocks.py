"""A policy that trains Toto's blocks: the same features at the start, only the chosen blocks learn, runs resume."""

import numpy as np
import pytest
import torch
import yaml
from killing import killed_at
from toy_demos import ToyDemos, small_bc
from toy_demos import toy_vec as bc_vec
from toy_world import ToyEncoder, ToyVec, small_config, toy_vec, weights_hash

import policies
from policies.cloning import train as bc
from policies.dagger import train as dagger
from policies.features.features import EncoderConfig, EncoderFeatures, make_features
from policies.fit.folder import read_about
from policies.history import History, HistoryConfig, Recall
from policies.network.heads import HeadConfig
from policies.policy import Policy, inspect
from policies.student import Student
from toto_robot.features.encoder import Encoder
from toto_robot.ground.errors import UserError
from toto_robot.models.toto import Toto, TotoConfig
from toto_robot.tokens.dvae import DVAE, DVAEConfig

LAYERS = 3


def frozen(layer=2, pooling="grid", dtype="float32"):
    """A small Toto with random weights on frames of 32 pixels: 16 codes a frame."""
    torch.manual_seed(0)
    dvae = DVAE(DVAEConfig(vocab_size=32, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    toto = Toto(TotoConfig(vocab_size=36, width=16, layers=LAYERS, heads=2, intermediate=24, init_std=0.2))
    options = dict(layer=layer, pooling=pooling, dtype=dtype, device="cpu", image_size=32, identity={"toy": 1})
    return Encoder(dvae, toto, **options)


def config(train="all", **more):
    return EncoderConfig("toy", train=train, dtype="float32", **more)


def frames(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def policy_of(encoder, train, history=None):
    features = make_features(config(train, pooling=encoder.pooling), encoder=encoder)
    return Policy.create(features, None, 5, 4, HeadConfig(32, 16, [32]), history=history)


@pytest.mark.parametrize("pooling", ["grid", "mean", "attention"])
@pytest.mark.parametrize("layer", [1, LAYERS])
def test_before_training_the_blocks_give_the_features_of_the_frozen_encoder(layer, pooling):
    encoder = frozen(layer, pooling)
    policy = policy_of(encoder, "all")
    tokens = policy.features({"rgb": frames(5)})
    assert tokens.shape == (5, 16) and tokens.dtype == torch.int32
    torch.testing.assert_close(policy.net.head.read(tokens), encoder(frames(5)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", ["clip", "stack"])
def test_a_history_gives_the_features_of_the_frozen_encoder(form):
    history = History(3, 1, form=form)
    policy, plain = policy_of(frozen(), "last_1", history), EncoderFeatures(config("none"), frozen())
    old, new = Recall(plain, history), policy.recall
    for step in range(4):
        obs = {"rgb": frames(2, seed=step)}
        wanted = old(obs, [0, 1])
        read = policy.net.head.read(new(obs, [0, 1]))
        torch.testing.assert_close(read, wanted.float(), rtol=2e-3, atol=2e-3)  # frozen features are stored as float16
    assert policy.feature_shape == {"clip": (3, 16), "stack": (48,)}[form]


@pytest.mark.parametrize(
    ("train", "learning"),
    [("last_1", {"blocks.1"}), ("last_2", {"blocks.0", "blocks.1"}), ("all", {"embed", "blocks.0", "blocks.1"})],
)
def test_only_the_chosen_blocks_learn(train, learning):
    run = dagger.train(small_config(run="r", encoder=config(train), dagger={"rounds": 2}), toy_vec, frozen())
    start = policy_of(frozen(), train).net.head.encoder.toto.state_dict()
    now = run.policy.net.head.encoder.toto.state_dict()
    moved = {name for name, value in now.items() if not torch.equal(value, start[name])}
    assert {".".join(name.split(".")[:2]).removesuffix(".weight") for name in moved} == learning


def test_the_blocks_have_their_share_of_the_learning_rate():
    policy = policy_of(frozen(), "last_1")
    options = dict(total=10, lr=1e-2, lr_final=1.0, warmup=0, weight_decay=0.1, grad_clip=0, ema_decay=0)
    student = Student(policy, **options, decay_all=False)
    features = policy.features({"rgb": frames(4)})
    student.descend([student.head.loss(policy.net(features, torch.ones(4, 5)), torch.ones(4, 4), torch.ones(4, 4))])
    of = {id(p): name.startswith("encoder.") for name, p in student.head.named_parameters()}
    for group in student.optimizer.param_groups:
        inside = {of[id(p)] for p in group["params"]}
        assert inside == {group["lr"] == pytest.approx(1e-3)} and len(inside) == 1
    assert {group["weight_decay"] for group in student.optimizer.param_groups} == {0.1, 0.0}


def test_a_run_resumes_to_the_same_bits_and_its_folder_acts_the_same():
    def run(name, **more):
        cfg = small_config(run=name, encoder=config("last_1"), history=HistoryConfig(2), dagger={"rounds": 3}, **more)
        return dagger.train(cfg, toy_vec, frozen())

    whole = run("whole")
    with killed_at(dagger.Collector, "collect", 2):
        run("cut")
    assert weights_hash(run("cut", resume=True).folder) == weights_hash(whole.folder)
    loaded, obs = policies.load("whole", encoder=frozen()), ToyVec(2).reset([1, 2])
    assert np.array_equal(loaded.act(obs), whole.policy.act(obs))


@pytest.mark.parametrize("transformer", [None, {}], ids=["mlp", "transformer"])
def test_a_clone_trains_blocks_and_resumes_to_the_same_bits(transformer):
    def run(name, **more):
        cfg = small_bc(run=name, transformer=transformer, encoder=config("last_1"), **more)
        return bc.train(cfg, bc_vec, frozen(), demos=ToyDemos(2))

    whole = run("whole")
    with killed_at(bc.Cloner, "train", 2):
        run("cut")
    assert weights_hash(run("cut", resume=True).folder) == weights_hash(whole.folder)


def test_a_frozen_policys_description_does_not_mention_trained_blocks(tmp_path):
    features = EncoderFeatures(config("none"), frozen())
    Policy.create(features, None, 5, 4, HeadConfig(32, 16, [32])).save(tmp_path / "p")
    values = yaml.safe_load((tmp_path / "p/policy.yaml").read_text())
    assert "trained" not in values and not {"train", "train_lr"} & set(values["encoder"])


@pytest.mark.parametrize(("key", "value"), [("width", 10**9), ("layers", 10**6), ("vocab_size", 10**12)])
def test_a_description_larger_than_its_weights_is_refused_before_a_network_is_made(tmp_path, key, value):
    policy_of(frozen(), "last_1").save(tmp_path / "p")
    assert read_about(tmp_path / "p").trained.blocks == 1
    path = tmp_path / "p/policy.yaml"
    values = yaml.safe_load(path.read_text())
    values["trained"]["model"][key] = value
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=r"policy\.yaml"):
        inspect(tmp_path / "p")


def test_what_cannot_learn_is_a_users_error():
    for train in ("some", "last_", "last_0", "last_-1", "last_x", "first_2"):
        with pytest.raises(UserError, match="none, all, or last_K"):
            config(train)
    for name in ("none", "privileged", "resnet"):
        with pytest.raises(UserError, match="no blocks to train"):
            EncoderConfig(name, train="all")
    with pytest.raises(UserError, match="last_1 to last_2"):
        policy_of(frozen(layer=2), "last_3")
    with pytest.raises(UserError, match="a Toto that reads codes"):
        make_features(config(), encoder=ToyEncoder())
    with pytest.raises(UserError, match="gate=ensemble learns from frozen features"):
        small_config(encoder=config(), gate={"name": "ensemble"})
