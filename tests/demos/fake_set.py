"""The API of `demos.store` in its simplest form: one npz an episode. Stands in where the store itself is not there."""

import json
from pathlib import Path

import numpy as np


class DemoWriter:
    def __init__(self, path, attrs):
        self.path, self.count = Path(path), 0
        self.path.mkdir(parents=True)
        (self.path / "zarr.json").write_text(json.dumps({"attributes": attrs}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def append(self, episode, meta):
        names = {f"meta/{name}": np.asarray(value) for name, value in meta.items()}
        np.savez(self.path / f"{self.count:04d}.npz", **episode, **names)
        self.count += 1


class DemoSet:
    def __init__(self, path):
        self.attrs = json.loads((Path(path) / "zarr.json").read_text())["attributes"]
        self._files = [dict(np.load(p)) for p in sorted(Path(path).glob("*.npz"))]
        self.episodes = len(self._files)
        self.keys = tuple(k for k in self._files[0] if not k.startswith("meta/"))
        self.meta_names = tuple(k.removeprefix("meta/") for k in self._files[0] if k.startswith("meta/"))
        self.lengths = np.array([len(f["action"]) for f in self._files])

    def episode(self, i, keys=None):
        return {key: self._files[i][key] for key in (self.keys if keys is None else keys)}

    def meta(self, name):
        return np.stack([f[f"meta/{name}"] for f in self._files])
