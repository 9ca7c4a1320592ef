"""What a place refuses is one sentence, whichever library met it; and a bug stays a bug."""

import errno
import os

import pytest
from safetensors import SafetensorError

from toto_robot.ground.places import REMEDIES, place_error


@pytest.mark.parametrize("number", list(REMEDIES))
def test_every_refusal_names_the_file_the_reason_and_what_to_do(number):
    said = str(place_error(OSError(number, os.strerror(number), "runs/x/policy.yaml")))
    assert said.startswith("runs/x/policy.yaml can't be written or read: ") and os.strerror(number) in said
    assert REMEDIES[number] in said and "\n" not in said


def test_it_is_found_behind_other_errors_and_in_their_text():
    full = OSError(errno.ENOSPC, "No space left on device", "/data/.out.zarr.0f3a9c2b.tmp/x")
    try:
        raise RuntimeError("a library's own error") from full
    except RuntimeError as error:
        assert "/data/out.zarr/x" in str(place_error(error)) and ".tmp" not in str(place_error(error))
    assert place_error(ExceptionGroup("several", [ValueError("x"), full]))
    for text in (
        "Error while serializing: I/O error: No space left on device (os error 28)",
        'IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })',
        "[Errno 28] No space left on device",
        "file write failed: time = now, errno = 28, error message = 'No space left on device'",
    ):
        assert "No space left" in str(place_error(SafetensorError(text), "out")) and place_error(SafetensorError(text))


def test_an_error_that_only_happened_before_and_a_bug_are_none():
    for bug in (KeyError("x"), ValueError("28"), OSError("no number"), OSError(errno.EEXIST, "exists", "x")):
        assert place_error(bug) is None
    try:
        try:
            os.stat("/nowhere/at/all")
        except OSError:
            raise KeyError("a bug in the handler")  # noqa: B904
    except KeyError as error:
        assert place_error(error) is None
