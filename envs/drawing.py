"""Drawing frames. All environments of a process that draw the same size share one GL context."""

import atexit
import os
import sys

import mujoco
import numpy as np

from envs.errors import EnvError

_CANVASES: dict = {}
_LOST: list = []
"""What a forked process got from its parent and can't use: the parent's canvases."""


class Canvas:
    """An offscreen buffer of one size. Environments take turns; each passes its own model and data."""

    def __init__(self, model: mujoco.MjModel, width: int, height: int):
        shape = model.vis.global_
        own = shape.offwidth, shape.offheight
        try:
            self.gl = mujoco.GLContext(width, height)
            self.gl.make_current()
            # The context takes its size from the model, which is the user's and keeps its own.
            shape.offwidth, shape.offheight = width, height
            self.context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except Exception as error:  # the GL loaders raise exceptions of many types
            raise EnvError(
                f"MuJoCo could not open an offscreen GL context ({error}). Without a display set MUJOCO_GL=egl "
                "(Debian: libegl1 libgl1-mesa-dri) or MUJOCO_GL=osmesa (libosmesa6)."
            ) from error
        finally:
            shape.offwidth, shape.offheight = own
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        self.scene = mujoco.MjvScene(model, maxgeom=max(80, model.ngeom + model.nsite + 16))
        self.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self.scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 0
        self.scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = 0
        self.option = mujoco.MjvOption()
        self.camera = mujoco.MjvCamera()
        self.camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self.rect = mujoco.MjrRect(0, 0, width, height)
        self.pixels = np.empty((height, width, 3), np.uint8)
        self.textures: list = [None] * model.ntex  # what each texture slot on the GPU holds now

    def draw(self, model, data, camera: str) -> np.ndarray:
        """uint8 (height, width, 3), top row first, a new array."""
        self.gl.make_current()
        self._upload(model)
        self.camera.fixedcamid = model.camera(camera).id
        mujoco.mjv_updateScene(model, data, self.option, None, self.camera, mujoco.mjtCatBit.mjCAT_ALL, self.scene)
        mujoco.mjr_render(self.rect, self.scene, self.context)
        mujoco.mjr_readPixels(self.pixels, None, self.rect, self.context)
        return self.pixels[::-1].copy()

    def _upload(self, model) -> None:
        """Uploads the textures that differ from those on the GPU, because another environment or look has drawn
        since."""
        for texture in range(model.ntex):
            start = model.tex_adr[texture]
            end = start + model.tex_height[texture] * model.tex_width[texture] * model.tex_nchannel[texture]
            held = model.tex_data[start:end]
            if self.textures[texture] is None or not np.array_equal(self.textures[texture], held):
                mujoco.mjr_uploadTexture(model, self.context, texture)
                self.textures[texture] = held.copy()


def canvas(model: mujoco.MjModel, width: int, height: int, kind: type[Canvas] = Canvas) -> Canvas:
    """The canvas of this size. Models share it if their textures have equal sizes and their meshes equally many
    vertices. Raises EnvError in a process that was forked from one that had drawn."""
    if _LOST:
        raise EnvError(
            "This process was forked from one that had drawn, and OpenGL does not survive a fork. Start it with "
            'context="spawn", as in gymnasium.vector.AsyncVectorEnv(env_fns, context="spawn"), or use envs.VectorEnv.'
        )
    key = (kind, width, height, model.ntex, model.ntexdata, model.nmesh, model.nmeshvert)
    if key not in _CANVASES:
        _CANVASES[key] = kind(model, width, height)
        if len(_CANVASES) == 1:
            atexit.register(_free)
    return _CANVASES[key]


def renderer(model: mujoco.MjModel) -> str:
    """The renderer, e.g. "llvmpipe (LLVM 15.0.6, 256 bits), 4.5 (Compatibility Profile) Mesa 22.3.6". Pixels are equal
    only between equal renderers."""
    canvas(model, 64, 64).gl.make_current()
    try:
        from OpenGL import GL

        return ", ".join(GL.glGetString(name).decode() for name in (GL.GL_RENDERER, GL.GL_VERSION))
    except Exception as error:  # PyOpenGL raises exceptions of many types; with glfw MuJoCo draws without it
        return f"unknown ({type(error).__name__})"


def _forked() -> None:
    """In a forked process: notes whether the parent had opened OpenGL, here or by itself. A second context would wait
    for ever for threads of the driver that only the parent has."""
    display = getattr(sys.modules.get(mujoco.GLContext.__module__), "EGL_DISPLAY", None)
    _LOST.extend([*_CANVASES.values(), *([display] if display is not None else [])])
    _CANVASES.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _free() -> None:
    """Frees the contexts before MuJoCo closes the display at exit. Otherwise they print errors."""
    for each in _CANVASES.values():
        each.context.free()
        each.gl.free()
    _CANVASES.clear()
