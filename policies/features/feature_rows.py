"""The features of a whole training set: rows in memory if they fit, otherwise in a file that is read row by row.

The file has no name: the operating system frees it when the process ends, however it ends. Rows are read with `pread`,
so the pages belong to the system's cache and not to the process. The numbers are the same in both places.

On the arrow: `policies.cloning.demonstrations` fills it with each episode's features, and takes minibatches from it.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toto_robot.ground.errors import UserError


class FeatureRows:
    """`count` rows of `shape` and `dtype`."""

    def __init__(
        self, count: int, shape: tuple[int, ...], dtype: torch.dtype, memory_gb: float, folder: str | Path | None
    ):
        """More than `memory_gb` goes to a file in `folder`, or in the system's folder for temporary files."""
        self.count, self.shape = count, tuple(shape)
        self.dtype = torch.zeros(0, dtype=dtype).numpy().dtype
        self.row_bytes = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        self._memory: np.ndarray | None = None
        if count * self.row_bytes <= memory_gb * 1e9:
            self._memory = np.empty((count, *self.shape), self.dtype)
            return
        try:
            if folder:
                Path(folder).mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder or None)  # noqa: SIM115 (open as long as the rows are used)
            os.posix_fallocate(self._file.fileno(), 0, count * self.row_bytes)
        except OSError as error:
            raise UserError(
                f"{count * self.row_bytes / 1e9:.1f} GB of features are more than data.memory_gb={memory_gb:g} and "
                f"can't be stored in {folder or tempfile.gettempdir()} ({error.strerror}): give cache=ANOTHER_FOLDER, "
                "or fewer looks or episodes."
            ) from error

    @classmethod
    def of(cls, features: Tensor) -> "FeatureRows":
        """The rows of a tensor (N, ...), in memory."""
        rows = cls(len(features), tuple(features.shape[1:]), features.dtype, float("inf"), None)
        rows.put(0, features)
        return rows

    @property
    def on_disk(self) -> bool:
        """Whether the rows are in a file."""
        return self._memory is None

    def put(self, start: int, features: Tensor) -> None:
        """Write `features` (n, *shape) to the rows from `start` on."""
        values = np.ascontiguousarray(features.numpy())
        if self._memory is not None:
            self._memory[start : start + len(values)] = values
            return
        data, at = values.reshape(-1).view(np.uint8).data, start * self.row_bytes
        while data:
            written = os.pwrite(self._file.fileno(), data, at)
            data, at = data[written:], at + written

    def take(self, rows: Tensor) -> Tensor:
        """The `rows` (...) as (..., *shape)."""
        if self._memory is not None:  # NumPy takes them: torch copies frames byte by byte, in four times the time
            return torch.from_numpy(self._memory.take(rows.numpy(), 0))
        wanted = rows.flatten().numpy()
        out = np.empty((len(wanted), self.row_bytes), np.uint8)
        # Rows that follow each other, such as the steps of a window, are read at once.
        begins = np.flatnonzero(np.diff(wanted, prepend=-2) != 1)
        for begin, end in zip(begins, [*begins[1:], len(wanted)]):
            data, at = out[begin:end].reshape(-1).data, int(wanted[begin]) * self.row_bytes
            while data:
                read = os.preadv(self._file.fileno(), [data], at)
                assert read > 0, "the file ends before its last row"
                data, at = data[read:], at + read
        return torch.from_numpy(out.view(self.dtype).reshape(*rows.shape, *self.shape))
