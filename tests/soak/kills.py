"""Kill training and publishing with SIGKILL at random moments, again and again, and compare the bits at the end.

    python tests/soak/kills.py [kills=50] [seed=0] [only=train_dagger,train_bc,train_dvae,pretrain,publish]

Each command runs at toy size. It is killed at a moment drawn from the time that an uninterrupted run takes, started
again with `resume=true` where the command has that key, killed again, and so on until it ends. Its weights, and what
lies beside them, must then be those of the uninterrupted run, byte for byte. It begins anew until it has been killed
`kills` times. The commands are forks of this process, which has imported their modules, so kills hit the work and not
the imports. Writes a dated table to tests/soak/results/. Linux only.
"""

import hashlib
import importlib
import json
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.utils.tensorboard

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from demos.store import schema  # noqa: E402
from demos.store.demo_set import DemoWriter  # noqa: E402
from toto_robot.features.folder import save_model  # noqa: E402
from toto_robot.models.toto import Toto, TotoConfig  # noqa: E402
from toto_robot.tokens.dvae import DVAE, DVAEConfig  # noqa: E402
from toto_robot.tokens.store.token_store import write_index, write_shard  # noqa: E402
from toto_robot.video.decode import write_video  # noqa: E402

RESULTS = Path(__file__).parent / "results"
CODES = 12


@dataclass(frozen=True)
class Job:
    """One command at toy size, in the folder of the soak."""

    module: str
    argv: str
    """Its arguments. `{folder}` stands for the folder of the soak."""
    out: str
    """What a run makes, and what is deleted before the next one."""
    compared: str
    """Pattern of the files that must have equal bytes, below `out`."""
    resumable: Callable[[Path], bool] = lambda out: False
    """Whether `resume=true` goes on with what lies in `out`."""
    finished: Callable[[Path], bool] = lambda out: False
    """Whether a run that was killed had already said that it is finished."""


POLICY = dict(
    out="runs/toy",
    compared="policy/*",
    resumable=lambda out: (out / "config.yaml").exists(),
    finished=lambda out: (out / "result.json").exists(),
)
JOBS = {
    "train_dagger": Job(
        "toto_robot.train_dagger",
        "env=franka_reach encoder=privileged run=toy episodes=0 threads=1 env.workers=0 dagger.rounds=4"
        " dagger.num_envs=4 dagger.first_round_steps=80 dagger.steps_per_round=40 learner.updates_per_round=20",
        **POLICY,
    ),
    "train_bc": Job(
        "toto_robot.train_bc",
        "env=none encoder=mean_pixels demos=set run=toy threads=1 encode_processes=1 optim.epochs=20",
        **POLICY,
    ),
    "train_dvae": Job(
        "toto_robot.train_dvae",
        "videos dvae vocab_size=32 image_size=32 steps=40 batch=4 crop=16 checkpoint_s=0.2",
        out="dvae",
        compared="[cdr]*[lsg]",  # config.yaml, dvae.safetensors, reconstructions.png
        resumable=lambda out: (out / "resume.pt").exists(),
    ),
    "pretrain": Job(
        "toto_robot.pretrain",
        "stores=[store] tokenizer=model out=toto width=16 heads=2 layers=2 intermediate=24 steps=24 short_share=0"
        " batch_rows=2 warmup_steps=2 micro_tokens=300 checkpoint_every=3 log_every=1 threads=1",
        out="toto",
        compared="model/*",
        resumable=lambda out: any(out.glob("resume/step-*")),
    ),
    "publish": Job(
        "toto_robot.publish",
        "model {folder}/published tokenizer_metrics=metrics.json rendered=videos",
        out="published",
        compared="*",
    ),
}


def make_input(folder: Path) -> None:
    """Videos, a demonstration set, a token store and a model folder, all of a few kilobytes."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    dvae = DVAE(DVAEConfig(vocab_size=CODES, n_hid=4, decoder_hid=4, n_init=8, n_blk_per_group=1))
    toto = Toto(TotoConfig(vocab_size=CODES + 4, width=16, heads=2, layers=2, intermediate=16))
    save_model(folder / "model", toto, dvae, layer=1, pooling="mean", image_size=32, notes={"steps": 7})
    score = {"frames": 3, "psnr": 20.0, "psnr_block_mean": 19.0, "usage": 0.95}
    (folder / "metrics.json").write_text(json.dumps(score))
    for i in range(6):
        write_video(folder / "videos" / f"{i}.mp4", rng.integers(0, 256, (12, 32, 32, 3), np.uint8), fps=10)
    codes = rng.integers(0, CODES, (10, 16, 16)).astype(np.uint16)
    described = {"frames": 16, "tokens_per_frame": 16, "vocab_size": CODES, "tokenizer": dvae.fingerprint()}
    rows = [{"source": "a.mp4", "kind": "video", "first_s": 0.0, "last_s": 2.0}] * len(codes)
    write_shard(folder / "store", "0", codes, rows, [])
    write_index(folder / "store", described, ["0"])
    action = {"names": ["x", "y"], "meaning": "", "low": -1.0, "high": 1.0}
    attrs = schema.attributes(control_hz=20.0, cameras={"wrist": {"width": 128, "height": 128}}, action=action)
    with DemoWriter(folder / "set", attrs) as writer:
        for i in range(12):
            writer.append(
                {
                    "rgb_wrist": rng.integers(0, 256, (20, 128, 128, 3), np.uint8),
                    "proprio": rng.normal(size=(20, 3)).astype(np.float32),
                    "action": rng.uniform(-1, 1, (20, 2)).astype(np.float32),
                },
                {"index": i},
            )


def fork(function: Callable[[], object], said: Path | str = os.devnull) -> int:
    """The pid of a child that calls `function` and ends; it writes to the file `said`."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        function()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def start(folder: Path, job: Job, *more: str) -> int:
    """The pid of the command, in `folder`."""

    def run() -> None:
        os.chdir(folder)
        sys.argv = [job.module, *job.argv.format(folder=folder).split(), *more]
        runpy.run_module(job.module, run_name="__main__", alter_sys=True)

    return fork(run, folder / "said")


def ended(pid: int) -> int | None:
    """The exit code of a child, None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def digests(out: Path, pattern: str) -> dict[str, str]:
    """sha256 of each file that is compared."""
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.glob(pattern))}


def remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def soak(folder: Path, job: Job, kills: int, draw: random.Random) -> dict:
    """One row of the table. AssertionError for a run that doesn't go on, or ends with other bits."""
    out, said = folder / job.out, folder / "said"
    began = time.monotonic()
    assert wait(start(folder, job)) == 0, said.read_text()[-2000:]
    whole_s = time.monotonic() - began
    whole = digests(out, job.compared)
    assert whole
    remove(out)
    killed = resumed = finished = 0
    whole_now = False
    while killed < kills or not whole_now:
        goes_on = job.resumable(out)
        resumed += goes_on
        pid = start(folder, job, *(["resume=true"] if goes_on else []))
        end = time.monotonic() + draw.uniform(0, whole_s) if killed < kills else float("inf")
        while (code := ended(pid)) is None and time.monotonic() < end:
            time.sleep(0.005)
        if code is None:
            os.kill(pid, signal.SIGKILL)
            killed += wait(pid) == -signal.SIGKILL
            whole_now, code = False, 0
            if not job.finished(out):
                continue
        assert code == 0, f"after {killed} kills: {said.read_text()[-2000:]}"
        assert digests(out, job.compared) == whole, f"after {killed} kills: other bits"
        finished, whole_now = finished + 1, True
        remove(out)
    left = [p.name for p in folder.rglob(".*.tmp")]
    return {
        "command": job.module.rpartition(".")[2],
        "kills": killed,
        "resumed": resumed,
        "finished with the same bits": finished,
        "uninterrupted s": round(whole_s, 1),
        "temporary files left": len(left),
    }


def main(kills: int = 50, seed: int = 0, only: str = ",".join(JOBS)) -> None:
    rows = []
    for name in only.split(","):
        importlib.import_module(JOBS[name].module)
    with tempfile.TemporaryDirectory() as folder:
        assert wait(fork(lambda: make_input(Path(folder)))) == 0
        for name in only.split(","):
            rows.append(soak(Path(folder), JOBS[name], kills, random.Random(f"{seed} {name}")))
            print(rows[-1], file=sys.stderr, flush=True)
    facts = machine.facts("torch", "numpy", "mujoco")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"kills-{facts['date']}.md"
    said = ", ".join(f"{k} {v}" for k, v in facts.items())
    title = (
        f"{kills} kills of each command (SIGKILL, seed {seed}): every run ends with the bits of an uninterrupted one"
    )
    path.write_text(f"# {title}\n\n{said}\n\n{machine.table(rows)}\n")
    print(json.dumps({"kills": sum(row["kills"] for row in rows), "table": str(path)}))


if __name__ == "__main__":
    arguments = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    unknown = set(arguments) - {"kills", "seed", "only"} or set(arguments.get("only", "pretrain").split(",")) - set(
        JOBS
    )
    if unknown or len(arguments) != len(sys.argv) - 1:
        sys.exit(f"usage: python tests/soak/kills.py [kills=50] [seed=0] [only={','.join(JOBS)}]")
    main(**{key: value if key == "only" else int(value) for key, value in arguments.items()})
