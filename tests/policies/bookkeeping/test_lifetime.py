from dataclasses import replace
from pathlib import Path

import pytest
from toy_world import ToyEncoder, ToyVec, small_config, toy_vec

from policies.bookkeeping import folder as runs
from policies.bookkeeping.lifetime import Frame
from policies.fit.spec import spec_of
from toto_robot.ground.errors import UserError


class Features:
    closed = False

    def close(self):
        self.closed = True


def test_whatever_ends_a_run_gives_back_what_it_held(capsys):
    for error in (ValueError, KeyboardInterrupt):
        config = small_config(run=error.__name__)
        with pytest.raises(error), Frame(config) as frame:
            frame.vec, frame.features = toy_vec(config), Features()
            frame.begin()
            raise error
        assert frame.vec.closed and frame.features.closed
        assert runs.Run(Path("runs") / error.__name__).lock()
    said = capsys.readouterr().err
    assert said == "0 rounds are saved in runs/KeyboardInterrupt; resume=true goes on from there.\n"


def test_an_encoder_that_cannot_be_loaded_is_found_before_any_environment_starts():
    class Broken(ToyEncoder):
        @property
        def feature_shape(self):
            raise ValueError

    started = []
    with pytest.raises(ValueError), Frame(small_config()) as frame:
        frame.open(started.append, Broken())
    assert not started and not Path("runs").exists()


def test_a_run_that_can_not_go_on_is_refused_before_the_encoder_is_loaded_and_an_environment_starts():
    spec = spec_of(replace(ToyVec.interface, control_hz=40.0), needs="rgb")
    with Frame(small_config(run="kept")) as frame:
        frame.begin(spec)
    with (
        pytest.raises(UserError, match="40 Hz and what is there now at 20 Hz"),
        Frame(small_config(run="kept", resume=True)) as again,
    ):
        again.features = None
        again.open(pytest.fail, None)  # the config's own encoder would have to be loaded
    assert again.features is None and again.vec is None


def test_a_run_begins_once_and_goes_on_where_it_is_asked_to():
    with Frame(small_config(run="one")) as frame:
        assert frame.begin() is frame.begin()
    with Frame(small_config(run="one", resume=True)) as again:
        assert again.run.folder == frame.run.folder == again.begin().folder
        assert again.title("more") == "toy, toto_tiny, more, one"


def test_a_run_goes_on_only_with_what_its_policys_numbers_meant(capsys):
    spec = spec_of(ToyVec.interface, needs="rgb")
    faster = replace(spec, control_hz=40.0, history=replace(spec.history, every_s=1 / 40))
    with Frame(small_config(run="kept")) as frame:
        assert frame.begin(spec).spec() == spec.plain()
    with Frame(small_config(run="kept", resume=True)) as again:
        again.check(spec)
        assert again.begin(spec).folder == frame.run.folder
    with pytest.raises(
        UserError, match="run kept does not fit what is there now: it acts at 20 Hz and what is there now at 40 Hz"
    ):
        with Frame(small_config(run="kept", resume=True)) as other:
            other.check(faster)
    (Path("runs/kept") / runs.SPEC).unlink()  # a run of an older version kept none
    with Frame(small_config(run="kept", resume=True)) as older:
        older.check(faster)
    assert not capsys.readouterr().err
