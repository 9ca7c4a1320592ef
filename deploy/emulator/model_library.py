"""The shared library with the arm's model that clients of protocol 5 download. It is compiled here with a C
compiler."""

import functools
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mujoco

from deploy.emulator.arm import FLANGE_IN_LINK7_M, links

_MACHINES = {"x86_64": 0, "i686": 1, "aarch64": 3}
"""Numbers of the architectures that a client may ask for. A library that is compiled here runs on this machine's."""


def build(model: mujoco.MjModel, architecture: int, system: int) -> bytes | None:
    """The library of the arm in `model` as a file's content.

    None if there is no compiler, or if the client does not run on Linux on this machine's architecture. The reason is
    printed on stderr.
    """
    if architecture != _MACHINES.get(platform.machine()) or system != 0:
        print(
            f"model library refused: the client asks for architecture {architecture}, system {system}; this machine "
            f"can only compile for Linux on {platform.machine()}",
            file=sys.stderr,
        )
        return None
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        print(
            "model library refused: no C compiler; install gcc, or use a client that doesn't load the model",
            file=sys.stderr,
        )
        return None
    return _compile(compiler, source(model))


def source(model: mujoco.MjModel) -> str:
    """The C text of the library."""
    row = lambda values: "{" + ", ".join(f"{v:.17g}" for v in values) + "}"
    table = ",\n".join(
        f"  {{{row(link['mat'].ravel())}, {row(link['pos'])}, {link['mass']:.17g}, {row(link['com'])}, "
        f"{row(link['inertia'].ravel())}}}"
        for link in links(model)
    )
    head = (
        "static const struct { double r[9], p[3], m, com[3], inertia[9]; } links[7] = {\n"
        f"{table}}};\nstatic const double flange_m = {FLANGE_IN_LINK7_M};\n"
    )
    return head + Path(__file__).with_suffix(".c").read_text()


@functools.cache
def _compile(compiler: str, text: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        code, library = Path(folder, "model.c"), Path(folder, "model.so")
        code.write_text(text)
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(code), "-lm"], check=True)
        return library.read_bytes()
