from dataclasses import replace
from pathlib import Path

import pytest
from toy_world import ToyEncoder, ToyVec, small_config, toy_vec

from policies.bookkeeping.lifetime import Lifetime
from policies.bookkeeping.run_folder import SPEC, RunFolder
from policies.fit.spec import spec_of
from toto_robot.ground.errors import UserError


class Features:
    closed = False

    def close(self):
        self.closed = True


def test_whatever_ends_a_run_gives_back_what_it_held(capsys):
    for error in (ValueError, KeyboardInterrupt):
        config = small_config(run=error.__name__)
        with pytest.raises(error), Lifetime(config) as lifetime:
            lifetime.vec, lifetime.features = toy_vec(config), Features()
            lifetime.begin()
            raise error
        assert lifetime.vec.closed and lifetime.features.closed
        assert RunFolder(Path("runs") / error.__name__).lock()
    said = capsys.readouterr().err
    assert said == "0 rounds are saved in runs/KeyboardInterrupt; resume=true goes on from there.\n"


def test_an_encoder_that_cannot_be_loaded_is_found_before_any_environment_starts():
    class Broken(ToyEncoder):
        @property
        def feature_shape(self):
            raise ValueError

    started = []
    with pytest.raises(ValueError), Lifetime(small_config()) as lifetime:
        lifetime.open(started.append, Broken())
    assert not started and not Path("runs").exists()


def test_a_run_that_can_not_go_on_is_refused_before_the_encoder_is_loaded_and_an_environment_starts():
    spec = spec_of(replace(ToyVec.interface, control_hz=40.0), needs="rgb")
    with Lifetime(small_config(run="kept")) as lifetime:
        lifetime.begin(spec)
    with (
        pytest.raises(UserError, match="40 Hz and what is there now at 20 Hz"),
        Lifetime(small_config(run="kept", resume=True)) as again,
    ):
        again.features = None
        again.open(pytest.fail, None)  # the config's own encoder would have to be loaded
    assert again.features is None and again.vec is None


def test_a_run_begins_once_and_goes_on_where_it_is_asked_to():
    with Lifetime(small_config(run="one")) as lifetime:
        assert lifetime.begin() is lifetime.begin()
    with Lifetime(small_config(run="one", resume=True)) as again:
        assert again.run.folder == lifetime.run.folder == again.begin().folder
        assert again.title("more") == "toy, toto_tiny, more, one"


def test_a_run_goes_on_only_with_what_its_policys_numbers_meant(capsys):
    spec = spec_of(ToyVec.interface, needs="rgb")
    faster = replace(spec, control_hz=40.0, history=replace(spec.history, every_s=1 / 40))
    with Lifetime(small_config(run="kept")) as lifetime:
        assert lifetime.begin(spec).spec() == spec.plain()
    with Lifetime(small_config(run="kept", resume=True)) as again:
        again.check(spec)
        assert again.begin(spec).folder == lifetime.run.folder
    with pytest.raises(
        UserError, match="run kept does not fit what is there now: it acts at 20 Hz and what is there now at 40 Hz"
    ):
        with Lifetime(small_config(run="kept", resume=True)) as other:
            other.check(faster)
    (Path("runs/kept") / SPEC).unlink()  # a run of an older version stored none
    with Lifetime(small_config(run="kept", resume=True)) as older:
        older.check(faster)
    assert not capsys.readouterr().err
