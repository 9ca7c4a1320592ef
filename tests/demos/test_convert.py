import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr
from foreign_sets import ROOT, SHARED, assert_same, episode, make
from test_rlds import rpt_episode, write_rpt

from demos import DemoSet, convert
from demos.errors import DemoError
from demos.formats import diffusion_zarr, native, robomimic_hdf5
from demos.formats.source import STEP_DTYPES, Options
from demos.store import schema
from toto_robot import command
from toto_robot.ground.errors import UserError


def ours(path, lengths=(3, 5), **how):
    """A set of ours on disk, and the same in memory."""
    rng = np.random.default_rng(0)
    made = make(
        [episode(rng, n, **how) for n in lengths], metas=[{"seed": i, "success": True} for i in range(len(lengths))]
    )
    native.write(made, path, Options())
    return native.read(path, Options())


def run(*argv):
    return convert.main(command.compose(convert.ConvertConfig, "convert", list(map(str, argv)), ("src", "dst")))


PATHS = {"lerobot": "pyarrow", "robomimic": "h5py", "diffusion_policy": None}


@pytest.mark.parametrize("to", PATHS)
def test_our_store_comes_back_whole_through_every_format(tmp_path, to):
    if PATHS[to]:
        pytest.importorskip(PATHS[to], reason=f"{PATHS[to]} is an extra")
    made = ours(tmp_path / "set")
    there = run(tmp_path / "set", tmp_path / "there", f"to={to}")
    assert (there["from"], there["to"], there["episodes"], there["steps"]) == ("zarr", to, 2, 8)
    assert not there["dropped"] and not there["changed"]
    back = run(tmp_path / "there", tmp_path / "back", "to=zarr")
    assert (back["from"], back["dropped"], back["changed"]) == (to, [], [])
    assert_same(native.read(tmp_path / "back", Options()), made)


def test_foreign_formats_convert_without_a_detour(tmp_path):
    pytest.importorskip("h5py", reason="h5py is an extra")
    pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    made = make([episode(np.random.default_rng(i), 3 + i) for i in range(2)])
    diffusion_zarr.write(made, tmp_path / "a", Options())
    run(tmp_path / "a", tmp_path / "b.hdf5", "to=robomimic")
    run(tmp_path / "b.hdf5", tmp_path / "c", "to=lerobot")
    run(tmp_path / "c", tmp_path / "d", "to=diffusion_policy")
    assert_same(diffusion_zarr.read(tmp_path / "d", Options()), made)


def test_the_published_layout_is_set_right_on_the_way(tmp_path):
    write_rpt(tmp_path / "rpt/1.0.0", [rpt_episode(i, 13, opens=1.0) for i in range(3)])
    report = run(tmp_path / "rpt", tmp_path / "set", "to=zarr", "to_hz=10")
    assert (report["from"], report["episodes"], report["steps"]) == ("rlds", 3, 12)
    assert report["facts"]["gripper"]["command"]["tasks"]["pick yellow cube"]["open_was"] == 1
    assert report["facts"]["padding"].endswith("3 of 3 episodes") and "3 steps to one" in report["facts"]["subsampled"]
    assert report["changed"] == [] and {"steps/discount"} < {entry["what"] for entry in report["dropped"]}
    made = native.read(tmp_path / "set", Options())
    first, meta = next(made.episodes())
    assert (
        made.attrs["control_hz"] == 10
        and first["action"][0, 7] == 1
        and meta == {"success": True, "task": "pick yellow cube"}
    )
    assert len(made.attrs["action"]["low"]) == 8 and made.attrs["action"]["high"][7] == 1
    raw = run(tmp_path / "rpt", tmp_path / "raw", "to=diffusion_policy", "gripper=keep", "drop_padding=false")
    assert raw["steps"] == 39 and "gripper" not in raw["facts"]
    again = run(tmp_path / "raw", tmp_path / "late", "to=zarr")
    assert again["steps"] == 36, "what was left undone is known, and can be done later"


def test_a_failed_conversion_leaves_nothing_and_a_done_one_is_not_replaced_by_accident(tmp_path):
    made = ours(tmp_path / "set")
    report = run(tmp_path / "set", tmp_path / "out/there", "to=diffusion_policy")
    assert report["path"] == str(tmp_path / "out/there")
    with pytest.raises(DemoError, match="there exists; .*overwrite=true"):
        run(tmp_path / "set", tmp_path / "out/there", "to=diffusion_policy")
    with pytest.raises(DemoError, match="is the source itself"):
        run(tmp_path / "set", tmp_path / "set", "to=zarr", "overwrite=true")
    before = sorted(p.name for p in (tmp_path / "out").iterdir())
    with pytest.raises(RuntimeError), convert.staged(tmp_path / "out/there") as path:
        path.mkdir()
        (path / "half").write_text("x")
        raise RuntimeError
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == before == ["there"]
    run(tmp_path / "set", tmp_path / "out/there", "to=diffusion_policy", "overwrite=true")
    assert_same(diffusion_zarr.read(tmp_path / "out/there", Options()), made)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["there"]


@pytest.mark.parametrize("old", ["file", "folder", None])
@pytest.mark.parametrize("new", ["file", "folder"])
def test_a_stage_replaces_files_and_folders_by_either(tmp_path, old, new):
    dst = tmp_path / "dst"
    if old == "file":
        dst.write_text("old")
    elif old:
        dst.mkdir()
        (dst / "old").write_text("old")
    with convert.staged(dst) as path:
        if new == "file":
            path.write_text("new")
        else:
            path.mkdir()
            (path / "x").write_text("new")
    assert (dst if new == "file" else dst / "x").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["dst"] and (
        new == "file" or [p.name for p in dst.iterdir()] == ["x"]
    )


def test_a_killed_conversion_leaves_no_destination(tmp_path):
    ours(tmp_path / "set", lengths=[4])
    script = (
        "import sys, time; from demos.formats import diffusion_zarr as d; real = d._create\n"
        "def slow(*a):\n    print('writing', flush=True); time.sleep(60)\nd._create = slow\n"
        "from demos import convert\n"
        "convert.main(convert.ConvertConfig(src=sys.argv[1], dst=sys.argv[2], to='diffusion_policy'))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "set"), str(tmp_path / "dst")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/demos'}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "dst").exists()
    assert [p.name.startswith(".dst.") for p in tmp_path.iterdir() if p.name != "set"] == [True]


def test_mistakes_say_what_exists(tmp_path):
    with pytest.raises(UserError, match="Unknown to 'lerobt'. Did you mean 'lerobot'"):
        run("a", "b", "to=lerobt")
    with pytest.raises(UserError, match="Unknown images.*av1, h264, png"):
        run("a", "b", "to=lerobot", "images=jpg")
    with pytest.raises((UserError, DemoError), match="to_hz=-1"):
        run("a", "b", "to=zarr", "to_hz=-1")
    with pytest.raises(DemoError, match="there is no .*nowhere"):
        run(tmp_path / "nowhere", "b", "to=zarr")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("x")
    with pytest.raises(DemoError, match="is none of zarr, lerobot, robomimic, diffusion_policy, rlds.*found notes.txt"):
        run(tmp_path / "empty", tmp_path / "b", "to=zarr")
    ours(tmp_path / "set")
    with pytest.raises(DemoError, match="can't be written.*another destination"):
        run(tmp_path / "set", tmp_path / "empty/notes.txt/b", "to=zarr")
    with pytest.raises(DemoError, match="not a set of demonstrations, and overwrite=true replaces nothing else"):
        run(tmp_path / "set", tmp_path, "to=zarr", "overwrite=true")
    with pytest.raises(DemoError, match="proprio= chooses.*a set of ours"):
        run(tmp_path / "set", tmp_path / "b", "to=zarr", "proprio=[joint_pos]")


def test_the_command_prints_one_json_line_and_one_sentence_for_a_mistake(tmp_path, command_process):
    diffusion_zarr.write(make([episode(np.random.default_rng(0), 3)]), tmp_path / "set", Options())
    argv = (tmp_path, "demos.convert", "set", "copy", "to=diffusion_policy")
    done = command_process(*argv)
    line = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, line["episodes"], line["kept"]["action"]) == (0, 1, "data/action")
    assert list(line) == ["from", "to", "path", "episodes", "steps", "kept", "dropped", "changed", "facts"]
    again = command_process(*argv)
    assert again.returncode == 2 and again.stderr.startswith("error: ") and again.stderr.count("\n") == 1
    manual = command.help_text(convert.main, convert.ConvertConfig, "convert", ("src", "dst"))
    assert "usage: python -m demos.convert [SRC] [DST]" in manual and "  to_hz=null" in manual


@pytest.mark.parametrize(
    ("name", "more", "episodes", "steps"), [("franka_fr3_stack", ["hz=20"], 27, 8881), ("octo_bridge", [], 25, 250)]
)
def test_real_sets_import(tmp_path, name, more, episodes, steps):
    if not (SHARED / name).is_dir():
        pytest.skip(f"no ../shared/data/robot/{name}")
    if name == "franka_fr3_stack":
        pytest.importorskip("h5py", reason="h5py is an extra")
    report = run(SHARED / name, tmp_path / "set", "to=zarr", *more)
    assert (report["episodes"], report["steps"]) == (episodes, steps) and report["dropped"]
    made = native.read(tmp_path / "set", Options())
    assert sum(len(e["action"]) for e, _ in made.episodes()) == steps


@pytest.mark.skipif(not (SHARED / "franka_fr3_stack").is_dir(), reason="no ../shared/data/robot/franka_fr3_stack")
def test_real_recordings_of_a_franka_import():
    pytest.importorskip("h5py", reason="h5py is an extra")
    folder = SHARED / "franka_fr3_stack"
    with pytest.raises(DemoError, match=r"positions and velocities suggest 20\.0"):
        robomimic_hdf5.read(folder, Options())
    source = robomimic_hdf5.read(folder, Options(hz=20))
    lengths = [len(e["action"]) for e, meta in source.episodes() if meta["success"]]
    assert (len(lengths), sum(lengths)) == (27, 8881)
    assert {name.split(".")[0] for name in source.attrs["proprio_names"]} == {
        "eef_pos",
        "eef_quat",
        "joint_pos",
        "joint_vel",
    }
    why = {entry["what"]: entry["why"] for entry in source.dropped}
    assert "placeholder" in why["obs/cube_positions"] and "the same as joint_pos" in why["obs/gripper_pos"]


def test_what_the_files_do_not_say_is_told_by_the_user(tmp_path):
    diffusion_zarr.write(make([episode(np.random.default_rng(0), 3)]), tmp_path / "set", Options())
    command = (tmp_path / "set", tmp_path / "copy", "to=zarr", "robot=fr3", "names=[x,y,gripper]")
    run(*command, "units=[m,m,1]")
    attrs = native.read(tmp_path / "copy", Options()).attrs
    assert (
        attrs["robot"] == "fr3"
        and attrs["action"]["names"] == ["x", "y", "gripper"]
        and attrs["action"]["units"] == ["m", "m", "1"]
    )
    for more, words in (("units=[m]", "units=m: expected 3.*got 1"), ("names=[x,x,y]", "each once")):
        with pytest.raises(DemoError, match=words):
            run(*command, more, "overwrite=true")


def foreign(path):
    diffusion_zarr.write(make([episode(np.random.default_rng(0), 3)]), path, Options())
    group = zarr.open_group(path, mode="r+", zarr_format=2)
    del group.attrs["toto_robot"]


def exported(path):
    diffusion_zarr.write(make([episode(np.random.default_rng(0), 3)]), path, Options())


@pytest.mark.parametrize("made", [foreign, exported])
def test_an_import_writes_the_current_schema(tmp_path, monkeypatch, made):
    """The sets are foreign ones, and an export that was made with an older schema."""
    made(tmp_path / "src")
    monkeypatch.setattr(schema, "SCHEMA", schema.SCHEMA + 1)
    run(tmp_path / "src", tmp_path / "dst", "to=zarr", "hz=10")
    attrs = DemoSet(tmp_path / "dst").attrs
    assert (attrs["format"], attrs["schema"]) == (schema.FORMAT, schema.SCHEMA)
    assert set(schema.attributes(control_hz=10, action={})) <= set(attrs)


def test_an_export_of_a_newer_schema_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "SCHEMA", schema.SCHEMA + 1)
    exported(tmp_path / "src")
    monkeypatch.undo()
    with pytest.raises(DemoError, match="Update toto_robot"):
        run(tmp_path / "src", tmp_path / "dst", "to=zarr")


def test_imported_types_are_those_of_the_schema():
    assert {name: key.dtype for name, key in schema.KEYS.items()} == {k: d.name for k, d in STEP_DTYPES.items()}


def test_a_message_names_the_destination_and_never_a_temporary_path(tmp_path):
    rng = np.random.default_rng(0)
    odd = make([episode(rng, 3, ("proprio",), {}), episode(rng, 3, ("proprio",), {}, proprio=7)])
    with pytest.raises(DemoError) as error, convert.staged(tmp_path / "dst") as path:
        native.write(odd, path, Options())
    assert str(error.value).startswith(f"{tmp_path / 'dst'}: a step of proprio is") and ".tmp" not in str(error.value)
