"""Equal environments have equal descriptions, and for different ones the difference is named."""

import json

import envs
from envs.fingerprint import describe, difference, fingerprint


def make(name="franka_pick", **options):
    return describe(envs.make(name, render=False, **options))


def test_equal_environments_have_equal_fingerprints_and_survive_json():
    one = make()
    assert fingerprint(one) == fingerprint(make()) == fingerprint(json.loads(json.dumps(one)))
    assert difference(one, json.loads(json.dumps(one))) == []


def test_every_difference_is_named():
    assert difference(make(), make(image_size=64)) == ["observation.image_size was 128, is 64"]
    text = " | ".join(difference(make(), make("franka_pick_pixmc")))
    assert "protocol.control_hz was 20.0, is 60.0" in text and "mjcf differs from line" in text


def test_a_changed_constant_changes_the_fingerprint(monkeypatch):
    before = fingerprint(make())
    monkeypatch.setattr("envs.tasks.pick.Pick.goal_tolerance_m", 0.2)
    assert fingerprint(make()) != before


def test_another_way_to_draw_looks_changes_the_fingerprint_where_looks_are_drawn(monkeypatch):
    before = {name: fingerprint(make(appearance=name)) for name in ("nominal", "random", "random_each_step")}
    monkeypatch.setattr("envs.appearance._sensor", lambda rng: {"noise_std": 1.0})
    changed = [name for name in before if fingerprint(make(appearance=name)) != before[name]]
    assert changed == ["random", "random_each_step"]


def test_a_changed_way_to_draw_looks_changes_the_fingerprint(monkeypatch):
    before = {look: fingerprint(make(appearance=look)) for look in ("random", "mixed", "wide")}
    assert len(set(before.values())) == 3
    monkeypatch.setattr("envs.looks._sensor", lambda rng: {"noise_std": 20.0, "gain": 1.0})
    assert fingerprint(make(appearance="wide")) != before["wide"]
    assert fingerprint(make(appearance="random")) == before["random"]
