"""Make shards in processes of this machine, or of a Ray cluster. Both yield what has been done since the last time.

Decoders crash. Therefore each shard is made in a separate process, which names each file before it reads it. If the
process dies, the shard begins again in a new process. A file that ends two processes is left out with that reason. (One
death proves little: the machine may have run out of memory, or somebody killed the process.)
"""

import contextlib
import os
import signal
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from itertools import accumulate
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import torch

from toto_robot.ground.errors import UserError
from toto_robot.tokens.store.shards import ShardTask, make_shard

DEATHS = 2  # processes that a file may end before it is left out


class Step(NamedTuple):
    """What has been done since the last one."""

    shards: int
    """Finished shards."""
    bytes: int
    """Bytes of source files that have been read."""
    frames: int
    """Encoded frames."""


class _Job:
    """A shard, the index of the file that is being read (-1 before the first), and the deaths that files caused."""

    def __init__(self, task: ShardTask):
        self.task, self.at, self.frames = task, -1, 0
        self.crashed: dict[str, str] = {}
        self.deaths: Counter = Counter()
        self._bytes_before = [0, *accumulate(item.size for item in task.items), 0]  # by file; the last is for -1

    def move(self, at: int, frames: int) -> Step:
        """Move to a file, or back to the start. Returns what that adds."""
        step = Step(0, self._bytes_before[at] - self._bytes_before[self.at], frames - self.frames)
        self.at, self.frames = at, frames
        return step


class _Worker:
    """A process that makes one shard after another. It ends when its pipe closes, so it ends soon after its parent."""

    def __init__(self, context: Any):
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: _Job) -> None:
        """Send a shard to make."""
        with contextlib.suppress(OSError):  # the process has died, which is noticed when its pipe is read
            self.pipe.send((job.task, job.crashed))

    def end(self) -> str:
        """Stop the process if it still runs. Returns how it ended."""
        self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        return signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"


def _work(pipe: Connection) -> None:
    """The loop of a worker process: receive a shard, make it, report."""
    for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C and a closed terminal are the parent's to answer
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
    try:
        while True:
            task, crashed = pipe.recv()
            try:
                make_shard(task, crashed, lambda at, frames: pipe.send((at, frames)))
                pipe.send(None)
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                error.add_note(traceback.format_exc())
                pipe.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone


def run_local(tasks: list[ShardTask], workers: int) -> Iterator[Step]:
    """Make the shards in `workers` processes with one thread each. 0 means one for each core."""
    context = get_context("forkserver")  # torch is imported once, and a new process takes milliseconds
    context.set_forkserver_preload([__name__])
    waiting = deque(_Job(task) for task in tasks)
    busy: dict[Connection, tuple[_Worker, _Job]] = {}
    idle: list[_Worker] = []
    most = min(workers or os.cpu_count() or 1, len(tasks))
    try:
        while waiting or busy:
            # Give waiting shards to idle processes, or to new ones.
            while waiting and len(busy) < most:
                worker, job = idle.pop() if idle else _Worker(context), waiting.popleft()
                worker.give(job)
                busy[worker.pipe] = worker, job
            # Read one message of each process that has one: a file, the end of a shard, an error, or its death.
            ready = wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                worker, job = busy[pipe]
                try:
                    message = pipe.recv()
                except (EOFError, ConnectionResetError):
                    del busy[pipe]
                    _note_death(job, worker.end())
                    waiting.appendleft(job)
                    yield job.move(-1, 0)
                    continue
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    del busy[pipe]
                    idle.append(worker)
                    yield Step(1, 0, 0)
                else:
                    yield job.move(*message)
    finally:
        running = [worker for worker, _ in busy.values()]
        for worker in running:
            worker.process.terminate()
        for worker in [*idle, *running]:
            worker.end()


def _note_death(job: _Job, how: str) -> None:
    """Count the death of a process against the file that it was reading. After the second one, leave the file out."""
    job.deaths[job.at] += 1
    if job.deaths[job.at] < DEATHS:
        return
    if not 0 <= job.at < len(job.task.items):
        raise RuntimeError(f"Processes that make {job.task.name} end ({how}) outside any file. Is memory or disk full?")
    item = job.task.items[job.at]
    job.crashed[item.name] = (
        f"{item.where} ends the process that reads it ({how}, {DEATHS} times); re-encode it or remove it"
    )


def run_ray(tasks: list[ShardTask]) -> Iterator[Step]:
    """Make the shards on a Ray cluster: the one of RAY_ADDRESS, or one that is started here.

    Source and store must lie under the same path on every node.
    """
    try:
        import ray
    except ImportError:
        raise UserError("executor=ray needs Ray: pip install 'toto_robot[ray]', or use executor=local.") from None
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False if "RAY_ADDRESS" not in os.environ else None)
    try:
        make = ray.remote(num_cpus=1)(_totals)
        running = [make.remote(task) for task in tasks]
        while running:
            (done, *_), running = ray.wait(running)
            yield Step(*ray.get(done))
    finally:
        if started:
            ray.shutdown()


def _totals(task: ShardTask) -> tuple[int, ...]:
    return tuple(map(sum, zip(*run_local([task], 1))))
