"""The arrows between the rooms go one way (docs: rooms), and every shipped YAML composes."""

import ast
from pathlib import Path

import pytest

from toto_robot import command

ROOT = Path(__file__).parents[1]
ROOMS = ("toto_robot", "envs", "policies", "demos", "deploy")
ALLOWED = {
    "toto_robot": set(),
    "envs": set(),
    "demos": {"envs"},
    "policies": {"toto_robot", "envs", "demos"},
    "deploy": {"toto_robot", "envs", "policies", "demos"},
}
COMMANDS_ELSEWHERE = {
    "demos/convert.py",
    "demos/record.py",
    "demos/inspect.py",
    "demos/replay.py",
    "deploy/run_real.py",
    "deploy/check.py",
    "deploy/calibrate.py",
    "deploy/emulator/__main__.py",
}


def sources(room):
    return sorted(p for p in (ROOT / room).rglob("*.py"))


def is_command(path):
    """A script that may import from every room."""
    name = path.relative_to(ROOT).as_posix()
    opens = '\nif __name__ == "__main__":\n    command.run(' in path.read_text()
    in_lobby = path.parent == ROOT / "toto_robot" and opens
    return in_lobby or name in COMMANDS_ELSEWHERE


def imported(path):
    """Dotted names of everything that `path` imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports between our files are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_the_rooms_it_may(room):
    for path in sources(room):
        if is_command(path):
            continue
        names = {name for name in imported(path) if not f"{name}.".startswith("toto_robot.ground.")} - {"toto_robot"}
        rooms = {name.split(".")[0] for name in names} & set(ROOMS)
        assert rooms <= ALLOWED[room] | {room}, f"{path.relative_to(ROOT)} imports from {sorted(rooms - {room})}"


def test_the_rooms_of_deploy_import_only_from_those_before_them():
    order = (
        ("control",),
        ("robots", "cameras", "emulator", "calibration"),
        ("processes",),
        ("session",),
        ("teaching",),
    )
    level = {room: i for i, rooms in enumerate(order) for room in rooms}
    for room in level:
        for path in sources(f"deploy/{room}"):
            used = {name.split(".")[1] for name in imported(path) if name.startswith("deploy.")} & set(level)
            assert all(level[other] <= level[room] for other in used), (
                f"{path.relative_to(ROOT)} imports from {sorted(used)}"
            )


def test_no_room_imports_a_command():
    commands = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts) for room in ROOMS for p in sources(room) if is_command(p)
    }
    assert {"toto_robot.train_dagger", "toto_robot.evaluate"} <= commands
    for room in ROOMS:
        for path in sources(room):
            assert not commands & set(imported(path)), f"{path.relative_to(ROOT)} imports a command"


def imports_between_files():
    """{file: the files that it imports}, imports inside functions included."""
    paths = [path for room in ROOMS for path in sources(room)]
    module = lambda path: path.parent if path.name == "__init__.py" else path.with_suffix("")
    files = {".".join(module(path).relative_to(ROOT).parts): path.relative_to(ROOT).as_posix() for path in paths}
    graph = {}
    for name, file in files.items():
        used = set()
        for node in ast.walk(ast.parse((ROOT / file).read_text(), file)):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(
                node, ast.ImportFrom
            ):  # a name in a package is a module of its own, or stands in its __init__
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                used |= {one if one in files else node.module for one in whole}
        graph[file] = {files[one] for one in used if one in files and one != name}
    return graph


def circles(graph):
    """The strongly connected components of more than one node: each node of one reaches every other."""
    reached = {}
    for start in graph:
        reached[start], waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - reached[start]
            reached[start] |= new
            waiting += new
    components = {frozenset(b for b in reached[a] if a in reached[b]) for a in graph if a in reached[a]}
    return [sorted(component) for component in components]


def test_no_two_files_import_each_other_over_any_way():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    graph = imports_between_files()
    assert (
        "envs/robots/robot.py" in graph["envs/tasks/task.py"] and "envs/vector.py" in graph["envs/backends/__init__.py"]
    )
    assert not circles(graph)


def test_no_module_is_called_utils_or_after_a_vendors_package():
    names = {p.stem for room in ROOMS for p in sources(room)}
    vendors = {"franky", "panda_py", "pylibfranka", "lerobot", "pyrealsense2", "cv2"}
    assert not names & ({"utils", "util", "helpers", "common"} | vendors)


def test_files_read_in_one_sitting():
    long = {p.relative_to(ROOT).as_posix(): n for r in ROOMS for p in sources(r) if (n := _lines(p)) > 400}
    assert not long


def _lines(path):
    return len(path.read_text().splitlines())


@pytest.mark.parametrize("name", ["train_dagger", "train_bc", "train_expert"])
def test_every_choice_of_every_group_composes(name):
    import toto_robot.train_bc
    import toto_robot.train_dagger
    import toto_robot.train_expert

    schema = {
        "train_dagger": toto_robot.train_dagger.TrainConfig,
        "train_bc": toto_robot.train_bc.TrainBcConfig,
        "train_expert": toto_robot.train_expert.ExpertConfig,
    }[name]
    base = ["demos=x"] if name == "train_bc" else []
    own = {"train_dagger": ["env", "gate", "dagger", "learner"], "train_bc": ["optim"], "train_expert": ["algo"]}[name]
    groups = ["encoder", "policy", *own]
    never = {
        "train_bc": {"privileged": "privileged"},  # demonstrations hold no privileged state
        "train_expert": {"resnet": "resnet", "wide": "plain MLP", "bc_transformer": "plain MLP"},
    }.get(name, {})
    # A composition takes a third of a second, so each one chooses an option of every group.
    options = {group: [o for o in command.group_options(group) if o not in never] for group in groups}
    assert all(options.values())
    for i in range(max(map(len, options.values()))):
        chosen = {group: some[i % len(some)] for group, some in options.items()}
        cfg = command.compose(schema, name, [*base, *(f"{group}={option}" for group, option in chosen.items())])
        for group in {"env", "encoder"} & set(chosen):
            assert getattr(cfg, group).name == chosen[group]
    for option, words in never.items():
        (group,) = (group for group in groups if option in command.group_options(group))
        with pytest.raises(ValueError, match=words):
            command.compose(schema, name, [*base, f"{group}={option}"])
