"""The parity tests against other people's packages, each package in a folder of its own beside the tested environment.

    python tests/compat/run.py [NAME ...]            all of them by default

For each entry its packages are installed into .compat/NAME (without what they depend on, but for what is listed, so
that torch and numpy stay the pinned ones) and the tests that skip without them are run. A test that still skips counts
as a failure. Writes a dated table to tests/compat/results/.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402

FOLDERS, RESULTS = ROOT / ".compat", Path(__file__).parent / "results"


@dataclass(frozen=True)
class Entry:
    """A package whose behaviour a test compares ours with."""

    what: str
    packages: tuple[str, ...]
    test: str
    """The test file, or several with spaces between."""
    then: str = ""
    """A shell command that finishes the folder, run inside it."""
    debs: tuple[str, ...] = ()
    """Debian packages, unpacked into the folder and not installed; the first has the version that is told."""
    inside: str = ""
    """Where in the folder the modules are, beside its top."""


ENTRIES = {
    "dall_e": Entry(
        "OpenAI's dVAE: the same weights give the same codes and pictures",
        ("dall-e==0.1", "requests", "urllib3", "idna", "certifi", "charset-normalizer", "attrs"),
        "tests/tokens/foreign/test_dalle.py",
    ),
    "taming": Entry(
        "VQGAN of taming-transformers: encoder, decoder and quantizer",
        ("taming-transformers-rom1504==0.0.6", "einops"),
        "tests/tokens/test_vqgan.py",
    ),
    "mup": Entry(
        "muP: initial weights and learning rates of the mup package", ("mup==1.0.0",), "tests/models/test_mup.py"
    ),
    "ray": Entry(
        "tokenizing on a real local Ray cluster",
        (
            "ray==2.60.0",
            "msgpack",
            "click",
            "filelock",
            "jsonschema",
            "jsonschema-specifications",
            "referencing",
            "rpds-py",
            "attrs",
            "requests",
            "urllib3",
            "idna",
            "certifi",
            "charset-normalizer",
        ),
        "tests/tokens/store/test_executors.py",
    ),
    "webdataset": Entry(
        "tars that webdataset wrote", ("webdataset==1.0.2", "braceexpand"), "tests/video/test_archives.py"
    ),
    "rerun": Entry(
        "recordings for the Rerun viewer, read back by Rerun",
        ("rerun-sdk==0.41.0", "pyarrow==26.0.1", "attrs", "psutil"),
        "tests/demos/viewing/test_rerun_log.py",
    ),
    "chromium": Entry(
        "the HTML report of demonstrations in a real headless Chromium 153",
        ("playwright==1.65.2", "greenlet", "pyee"),
        "tests/demos/test_chromium.py",
        # A browser from the npm registry: playwright's own comes from a server that not every network reaches.
        "mkdir -p browser && npm install --silent --ignore-scripts --no-audit --no-fund "
        "@sparticuz/chromium@153.0.0 && TMPDIR=$PWD/browser node --input-type=module -e "
        "\"import c from '@sparticuz/chromium'; await c.executablePath()\"",
    ),
    "pyarrow": Entry(
        "LeRobot data sets with real parquet",
        ("pyarrow==26.0.1",),
        "tests/video/test_episodes.py tests/demos/test_lerobot.py",
    ),
    "h5py": Entry("robomimic data sets with real HDF5", ("h5py==3.16.0",), "tests/demos/test_robomimic.py"),
    "realsense": Entry(
        "a camera through the real librealsense, fed by its software device (needs apt's libusb-1.0-0)",
        ("pyrealsense2==2.59.1.11053",),
        "tests/deploy/cameras/test_realsense_camera.py",
    ),
    "opencv4": Entry(
        "hand-eye calibration: OpenCV 4's calibrateHandEye (OpenCV 5 has none) on the same poses",
        ("opencv-python-headless==4.14.0.94",),
        "tests/deploy/calibration/test_hand_eye.py",
    ),
    "panda_py": Entry(
        "panda_py (libfranka 0.9, protocol 5) against the emulated Panda: state, model, torques, gripper",
        ("panda-python==1.1.1", "websockets", "requests", "urllib3", "idna", "certifi", "charset-normalizer"),
        "tests/deploy/emulator/test_panda.py",
    ),
    "ros": Entry(
        "the ROS 1 backend with Debian's rosmaster, rospy and actionlib: states, set-points, recovery, gripper actions",
        (),
        "tests/deploy/robots/test_ros_robot.py",
        inside="usr/lib/python3/dist-packages",
        debs=(
            "python3-rospy",
            "python3-rosmaster",
            "python3-actionlib",
            "python3-actionlib-msgs",
            "python3-genmsg",
            "python3-genpy",
            "python3-geometry-msgs",
            "python3-roscpp-msg",
            "python3-rosgraph",
            "python3-rosgraph-msgs",
            "python3-roslib",
            "python3-rospkg",
            "python3-catkin",
            "python3-catkin-pkg",
            "python3-sensor-msgs",
            "python3-std-msgs",
            "python3-std-srvs",
            "python3-defusedxml",
            "ros-std-msgs",
            "ros-actionlib-msgs",
        ),
    ),
    "franky_sim": Entry(
        "an emulator that others wrote: the same clients do the same things at it and at ours",
        (
            "franky-sim==1.0.4",
            "pin==4.1.0",
            "libpinocchio==4.1.0",
            "coal==3.0.3",
            "libcoal==3.0.3",
            "eigenpy==3.13.0",
            "cmeel",
            "cmeel-assimp",
            "cmeel-boost",
            "cmeel-console-bridge",
            "cmeel-octomap",
            "cmeel-qhull",
            "cmeel-tinyxml2",
            "cmeel-urdfdom",
            "cmeel-zlib",
        ),
        "tests/deploy/emulator/test_franky_sim.py",
        inside="cmeel.prefix/lib/python3.11/site-packages",
    ),
    # torchvision 0.25 is the last that decodes video with PyAV; its compiled part stays unloaded beside a CPU torch.
    "lerobot": Entry(
        "exported LeRobot data sets (PNG, AV1, H.264), loaded by lerobot, and one it wrote, by us",
        (
            "lerobot==0.4.4",
            "datasets==4.8.5",
            "pyarrow==26.0.1",
            "pandas==3.1.1",
            "torchvision==0.25.0",
            "accelerate==1.15.0",
            "deepdiff",
            "orderly-set",
            "draccus",
            "mergedeep",
            "typing-inspect",
            "mypy-extensions",
            "pyyaml-include",
            "toml",
            "dill",
            "multiprocess",
            "xxhash",
            "httpx",
            "httpcore",
            "jsonlines",
            "attrs",
            "einops",
            "psutil",
            "requests",
            "urllib3",
            "certifi",
            "charset-normalizer",
        ),
        "tests/demos/test_lerobot_real.py",
    ),
    "robosuite": Entry(
        "robosuite's Lift behind our adapter: its steps bit for bit, its picture, check_env, seeds, the commands",
        ("robosuite==1.5.2", "numba", "llvmlite", "termcolor", "tqdm", "opencv-python-headless==4.14.0.94"),
        "tests/envs/backends/test_robosuite_lift.py",
    ),
    "mujoco_warp": Entry(
        "our environments in MuJoCo Warp's batch, on its CPU device where there is no GPU (its first run compiles "
        "for many minutes): the same trajectories to float32's rounding",
        ("mujoco-warp==3.9.0.1", "warp-lang==1.14.0", "etils", "absl-py"),
        "tests/envs/backends/test_warp_batch.py",
    ),
    "robomimic": Entry(
        "exported robomimic data sets, loaded and checked by robomimic",
        ("robomimic==0.3.0", "h5py==3.16.0", "tensorboardX", "termcolor", "tqdm", "psutil"),
        "tests/demos/test_robomimic_real.py",
    ),
}


def install(name: str, entry: Entry) -> Path:
    """The folder with the entry's packages, made on first use."""
    folder = FOLDERS / name
    if not (folder / ".ready").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if entry.packages:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "-q",
                    "--no-deps",
                    "--upgrade",
                    "--target",
                    str(folder),
                    *entry.packages,
                ],
                check=True,
            )
        if entry.debs:
            subprocess.run(["apt-get", "download", "-qq", *entry.debs], cwd=folder, check=True)
            for deb in folder.glob("*.deb"):
                subprocess.run(["dpkg", "-x", str(deb), str(folder)], check=True)
        if entry.then:
            subprocess.run(entry.then, shell=True, cwd=folder, check=True)
        (folder / ".ready").touch()
    return folder


def run(name: str, entry: Entry) -> dict:
    """Run the entry's tests beside its packages: how many passed, failed and skipped."""
    folder = install(name, entry)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *entry.test.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{folder}:{folder / entry.inside}", "PYTEST_ADDOPTS": "-vv"},
    )
    found = {word: done.stdout.count(f" {word}") for word in ("PASSED", "FAILED", "ERROR", "SKIPPED")}
    ok = done.returncode == 0 and found["PASSED"] > 0 and not found["SKIPPED"]
    if not ok:
        print(done.stdout[-3000:], done.stderr[-1000:], file=sys.stderr)
    package, _, version = (entry.packages or entry.debs)[0].partition("==")
    if entry.debs:
        version = next(folder.glob(f"{package}_*.deb")).name.split("_")[1]
    return {
        "package": package,
        "version": version,
        "what is compared": entry.what,
        "tests passed": found["PASSED"],
        "failed": found["FAILED"] + found["ERROR"],
        "skipped": found["SKIPPED"],
        "result": "passed" if ok else "FAILED",
    }


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ENTRIES]
    if unknown:
        print(f"there is no {unknown[0]}; there are {', '.join(ENTRIES)}", file=sys.stderr)
        return 2
    rows = []
    for name in names or ENTRIES:
        rows.append(run(name, ENTRIES[name]))
        print(f"{name}: {rows[-1]['result']}", flush=True)
    if not names:
        facts = machine.facts("torch", "numpy", "transformers")
        said = ", ".join(f"{key} {value}" for key, value in facts.items())
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{facts['date']}.md").write_text(f"# Compatibility\n\n{said}\n\n{machine.table(rows)}\n")
    return 0 if all(row["result"] == "passed" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
