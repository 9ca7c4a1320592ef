import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from toto_robot import command
from toto_robot.ground.errors import UserError

PACKAGE = Path(command.__file__).parents[1]
MODULE = '''"""A command for tests.

Its manual has two paragraphs."""
from dataclasses import dataclass, field
from toto_robot import command
from toto_robot.ground.errors import UserError

@dataclass
class Env:
    name: str = "none"
    """Which environment."""
    workers: int = 1
    """How many processes."""

@dataclass
class Config:
    env: Env = field(default_factory=Env)
    """The environment."""
    policy: str = "expert"
    """A path or a name."""
    seed: int = 0
    """The seed."""
    lr: float = 1e-3
    run: str | None = None

    def __post_init__(self):
        if self.seed < 0:
            raise UserError(f"seed={self.seed}: expected 0 or more.")

def main(cfg):
    if cfg.seed == 13:
        raise RuntimeError("a bug")
    if cfg.seed == 14:
        raise KeyboardInterrupt
    return {"env": cfg.env.name, "policy": cfg.policy, "seed": cfg.seed, "run": cfg.run}

if __name__ == "__main__":
    command.run(main, Config, "for_tests", positional=("policy",))
'''


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A copy of nothing but this test's YAML, in a package that takes the place of toto_robot.conf."""
    conf = tmp_path / "conf"
    for name, text in {
        "__init__.py": "",
        "for_tests.yaml": "defaults: [for_tests_schema, {env: one}, _self_]\nseed: 5\n",
        "env/one.yaml": "name: one\n",
        "env/two.yaml": "name: two\n",
        "policy/mlp.yaml": "width: 3\n",
    }.items():
        (conf / name).parent.mkdir(parents=True, exist_ok=True)
        (conf / name).write_text(text)
    compose = importlib.import_module("toto_robot.command.compose")  # the package has a function of this name
    monkeypatch.setattr(compose, "CONF", conf)
    monkeypatch.setattr(compose, "initialize_config_module", _initialize(conf))
    return conf


def _initialize(conf):
    from hydra import initialize_config_dir

    return lambda module, version_base: initialize_config_dir(str(conf), version_base=version_base)


@dataclass
class Env:
    name: str = "none"
    """Which environment."""
    workers: int = 1


@dataclass
class Config:
    env: Env = field(default_factory=Env)
    """The environment,
    in two lines."""
    policy: str = "expert"
    seed: int = 0
    """The seed."""
    lr: float = 1e-3
    run: str | None = None
    sizes: list[int] = field(default_factory=lambda: [1, 2])

    def __post_init__(self):
        if self.seed < 0:
            raise UserError(f"seed={self.seed}: expected 0 or more.")


def compose(*argv, positional=("policy",)):
    return command.compose(Config, "for_tests", list(argv), positional)


def test_groups_values_and_positional_arguments_reach_the_dataclass(conf):
    cfg = compose()
    assert isinstance(cfg, Config) and isinstance(cfg.env, Env) and (cfg.env.name, cfg.seed) == ("one", 5)
    cfg = compose("runs/a-b_1/policy", "env=two", "env.workers=3", "lr=1e-4", "run=12", "sizes=[4,5]")
    assert cfg == Config(Env("two", 3), "runs/a-b_1/policy", 5, 1e-4, "12", [4, 5])
    assert compose("run=null").run is None


ODD = [
    "a b",
    "it's",
    "x,y",
    "(a)",
    "{a}",
    "ümlaut",
    "1e5",
    "/x/y[1]",
    "a#b",
    "c:\\d",
    "'",
    "back\\'slash",
    "end\\",
    '"',
    "日本 📷",
]


@pytest.mark.parametrize("value", ["a=b", *ODD])
def test_any_text_survives_as_a_value(conf, value):
    assert compose(f"policy={value}").policy == value
    assert compose(f"run={value}").run == value


@pytest.mark.parametrize("value", ["./a=b", "/x/lr=0.1/y", "a$b", "${env.name}", "'quoted'", "null", "???x", *ODD])
def test_any_path_survives_as_a_positional_argument(conf, value):
    assert compose(value).policy == value


def test_a_file_whose_name_holds_quotes_or_an_equals_sign_is_meant_literally(conf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("'quoted'", "a=b"):
        (tmp_path / name).touch()
        assert compose(name).policy == name and compose(f"run={name}").run == name
    (tmp_path / "seed=7").touch()
    assert compose("seed=7").seed == 7
    assert compose("run='a b'").run == "a b"


def test_a_value_may_have_the_name_of_another_commands_group(conf):
    assert compose("policy=mlp2").policy == "mlp2"


def test_a_folder_stands_for_a_groups_name(conf, tmp_path):
    assert compose(f"env={tmp_path}").env.name == str(tmp_path)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sead=1"], ["sead", "'seed'", "env, lr, policy, run, seed, sizes"]),
        (["env=tow"], ["tow", "'two'", "one, two"]),
        (["env.worker=1"], ["env.worker", "env.name, env.workers"]),
        (["seed.x=1"], ["seed is a value"]),
        (["seed=abc"], ["seed=abc", "Integer"]),
        (["lr=high"], ["lr=high", "Float"]),
        (["seed=-1"], ["expected 0 or more"]),
        (["a", "b"], ["Unexpected argument 'b'", "policy"]),
        (["--fast"], ["--fast", "--help"]),
        (["~seed"], ["removed"]),
        (["sizes=[1"], ["sizes=[1"]),
        (["sizes=[a]"], ["sizes"]),
        (["+new=1"], ["Unknown key 'new'"]),
        (["=3"], ["Unknown key ''"]),
    ],
)
def test_every_mistake_is_one_sentence_that_says_what_exists(conf, argv, words):
    with pytest.raises(UserError) as error:
        compose(*argv)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_required_key_that_is_missing_is_named(conf):
    @dataclass
    class Required(Config):
        policy: str = "???"

    with pytest.raises(UserError, match="Missing policy: give policy=VALUE"):
        command.compose(Required, "for_tests", [])


def test_help_reads_like_a_manual(conf):
    def main(cfg):
        pass

    text = command.help_text(main, Config, "for_tests", ("policy",))
    assert "usage: python -m toto_robot.for_tests [POLICY]" in text
    assert "env=  one of: one, two" in text and "The environment, in two lines." in text
    assert "seed=5" in text and "env.name=one" in text and "run=null" in text


def test_results_are_strict_json(capsys):
    command.print_json(
        {"a": np.float32(0.5), "b": float("nan"), "c": np.arange(2), "d": Path("x"), "e": (1, None, True)}
    )
    assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": None, "c": [0, 1], "d": "x", "e": [1, None, True]}


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """Runs the command MODULE as a process, on its own copy of the conf package."""
    folder = tmp_path_factory.mktemp("command")
    package = folder / "package" / "toto_robot"
    (package / "conf" / "env").mkdir(parents=True)
    (package / "conf" / "policy").mkdir()
    for room in ("command", "ground"):
        shutil.copytree(PACKAGE / room, package / room)
    (package / "__init__.py").write_text("")
    (package / "conf" / "__init__.py").write_text("")
    (package / "conf" / "for_tests.yaml").write_text("defaults: [for_tests_schema, {env: one}, _self_]\n")
    for name in ("env/one", "env/two", "policy/mlp"):
        (package / "conf" / f"{name}.yaml").write_text(f"name: {Path(name).name}\n")
    (folder / "package" / "for_tests.py").write_text(MODULE)
    work = folder / "work"
    work.mkdir()

    def call(*given):
        argv = [sys.executable, str(folder / "package" / "for_tests.py"), *given]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=work, timeout=120)
        assert not list(work.iterdir()), "a command leaves nothing behind"
        return done.returncode, done.stdout, done.stderr

    return call


def test_a_result_is_one_json_line_last_on_stdout(process):
    code, out, err = process("mine", "env=two", "seed=2")
    assert (code, err) == (0, "")
    assert json.loads(out.splitlines()[-1]) == {"env": "two", "policy": "mine", "seed": 2, "run": None}


def test_a_mistake_ends_with_two_and_one_line_without_a_traceback(process):
    code, out, err = process("env=three")
    assert code == 2 and out == "" and err.count("\n") == 1 and "one, two" in err


def test_a_bug_keeps_its_traceback(process):
    code, _, err = process("seed=13")
    assert code == 1 and "RuntimeError: a bug" in err and "Traceback" in err


def test_an_interrupt_says_so(process):
    assert process("seed=14")[::2] == (130, "Interrupted.\n")


def test_cfg_job_prints_the_config_without_running(process):
    code, out, _ = process("--cfg", "job", "seed=13", "env=two")
    assert code == 0 and "seed: 13" in out and "name: two" in out


def test_multirun_prints_a_line_for_each_combination_and_writes_nothing(process):
    code, out, err = process("--multirun", "env=one,two", "seed=range(1,3)", "policy=a,b")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, err, len(lines)) == (0, "", 8)
    assert {(x["env"], x["seed"], x["policy"]) for x in lines} == {
        (e, s, p) for e in ("one", "two") for s in (1, 2) for p in "ab"
    }
    assert process("-m", "env=one,three")[0] == 2
    assert process("-m", "seed=1,x")[0] == 2


def test_a_reader_that_closes_the_pipe_early_causes_no_traceback():
    line = f"{sys.executable} -m toto_robot.token_stats --help | true"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
