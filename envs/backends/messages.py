"""The messages of the vector-environment protocol, sent over a stream socket (docs/backends.md lists them).

    offset  bytes
    0       4      b"TVEP"
    4       4      H, length of the header, unsigned, little-endian
    8       8      P, length of the payload, likewise
    16      H      header: a JSON object in UTF-8
    16+H    P      the arrays that the header's "arrays" lists, one after another, C order, little-endian

The header has "type" (a name), "arrays" ([[name, dtype, shape], ...]) and the message's other fields. Nothing is ever
unpickled. The code runs in Python 3.8 with NumPy alone, because a worker's Python is the simulator's and not ours.
"""

import contextlib
import io
import json
import socket
import struct
import time
import traceback

import numpy as np

PROTOCOL, VERSION = "toto-vector-env", 1
MAGIC = b"TVEP"
PREFIX = struct.Struct("<4sIQ")
MAX_HEADER, MAX_PAYLOAD = 2**20, 2**30
DTYPES = ("|u1", "|b1", "<i8", "<f4", "<f8")
MAX_DIMENSIONS = 8


class MessageError(ValueError):
    """The bytes are not a message of this protocol."""


class Closed(ConnectionError):
    """The other side is gone."""


class Refused(ValueError):
    """A worker's answer to a wrong request. The client raises it as `envs.EnvError`."""


def pack(kind, fields=None, arrays=None):
    """One message as bytes. `fields` have JSON's types, `arrays` is {name: ndarray} with the dtypes in `DTYPES`."""
    listed, parts = [], []
    for name, array in (arrays or {}).items():
        array = np.asarray(array)
        if array.dtype.str not in DTYPES:
            raise MessageError(
                "array %r has the dtype %s; a message can hold %s" % (name, array.dtype.str, ", ".join(DTYPES))
            )
        listed.append([name, array.dtype.str, list(array.shape)])
        parts.append(array.tobytes())
    header = json.dumps(dict(fields or {}, type=kind, arrays=listed)).encode()
    payload = b"".join(parts)
    if len(header) > MAX_HEADER or len(payload) > MAX_PAYLOAD:
        raise MessageError(
            "expected a header of at most %d bytes and a payload of at most %d, got %d and %d"
            % (MAX_HEADER, MAX_PAYLOAD, len(header), len(payload))
        )
    return PREFIX.pack(MAGIC, len(header), len(payload)) + header + payload


def send(sock, kind, fields=None, arrays=None):
    """Writes one message. Raises Closed."""
    try:
        sock.sendall(pack(kind, fields, arrays))
    except (BrokenPipeError, ConnectionError) as error:
        raise Closed(str(error)) from error


def receive(sock, timeout_s=None):
    """(type, fields, arrays) of the next message. Raises Closed, MessageError, and socket.timeout after `timeout_s`."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    return _read(lambda count, begun=True: _exactly(sock, count, deadline, begun))


def unpack(data):
    """(type, fields, arrays) of `pack`'s bytes. Raises MessageError."""
    stream = io.BytesIO(data)

    def exactly(count, begun=True):
        part = bytearray(stream.read(count))
        if len(part) < count:
            raise MessageError("the message ends too early")
        return part

    message = _read(exactly)
    if stream.read(1):
        raise MessageError("more bytes follow the message")
    return message


def _read(exactly):
    """One message from `exactly(count)`, which gives the next `count` bytes. Sizes are checked before memory is
    taken."""
    magic, header_size, payload_size = PREFIX.unpack(exactly(PREFIX.size, begun=False))
    if magic != MAGIC:
        raise MessageError(
            "expected a message that begins with %r, got %r: something else writes to this socket" % (MAGIC, magic)
        )
    if header_size > MAX_HEADER or payload_size > MAX_PAYLOAD:
        raise MessageError(
            "expected a header of at most %d bytes and a payload of at most %d, the message announces %d and %d"
            % (MAX_HEADER, MAX_PAYLOAD, header_size, payload_size)
        )
    kind, fields, listed = _header(bytes(exactly(header_size)), payload_size)
    payload, arrays, start = exactly(payload_size), {}, 0
    for name, dtype, shape in listed:
        size = _bytes(dtype, shape)
        part = np.frombuffer(payload, np.uint8, size, start) if size else np.zeros(0, np.uint8)
        array = part != 0 if dtype == "|b1" else part.view(dtype)  # NumPy accepts only 0 and 1 as bools
        arrays[name], start = array.reshape(shape), start + size
    return kind, fields, arrays


def _exactly(sock, count, deadline, begun):
    """A new bytearray of `count` bytes. `begun` says whether the message has begun."""
    data = bytearray(count)
    view, got = memoryview(data), 0
    while got < count:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise socket.timeout("the time is up")
        sock.settimeout(left)
        try:
            more = sock.recv_into(view[got:])
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not more:
            raise Closed("the stream ended %s" % ("inside a message" if begun or got else "between two messages"))
        got += more
    return data


def _header(text, payload_size):
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise MessageError("the header is not valid JSON: %s" % error) from error
    if (
        not isinstance(header, dict)
        or not isinstance(header.get("type"), str)
        or not isinstance(header.get("arrays"), list)
    ):
        raise MessageError('expected a header that is an object with "type" and "arrays"')
    kind, listed, total = header.pop("type"), header.pop("arrays"), 0
    for item in listed:
        if not (
            isinstance(item, list)
            and len(item) == 3
            and isinstance(item[0], str)
            and item[1] in DTYPES
            and isinstance(item[2], list)
            and len(item[2]) <= MAX_DIMENSIONS
            and all(type(n) is int and 0 <= n <= MAX_PAYLOAD for n in item[2])
        ):
            raise MessageError(
                "expected an array as [name, one of %s, shape], got %s" % (", ".join(DTYPES), str(item)[:200])
            )
        total += _bytes(item[1], item[2])
    if len({item[0] for item in listed}) < len(listed):
        raise MessageError("two arrays have one name")
    if total != payload_size:
        raise MessageError("the arrays take %d bytes, the payload has %d" % (total, payload_size))
    return kind, header, listed


def _bytes(dtype, shape):
    size = np.dtype(dtype).itemsize
    for n in shape:
        size *= n  # Python's integers: no overflow
    return size


def serve(sock, make_world):
    """A worker's loop: hello, then reset, step, get_state and set_state, until close or until the client is gone.

    `make_world(fields)` gets the fields of hello and returns an object with `spec` (dict), `reset(seeds, indices)`,
    `step(actions, active)`, `get_state()`, `set_state(arrays)` and `close()`. All but the last use dicts of arrays. An
    error goes to the client, as a mistake (Refused) or with its traceback, and ends the worker.
    """
    world = None
    try:
        kind, fields, _ = receive(sock)
        if kind != "hello" or fields.get("protocol") != PROTOCOL or fields.get("version") != VERSION:
            raise Refused(
                "this worker has the protocol %s version %d and expected hello, got %s %s version %s"
                % (PROTOCOL, VERSION, kind, fields.get("protocol"), fields.get("version"))
            )
        world = make_world(fields)
        send(sock, "spec", dict(world.spec, protocol=PROTOCOL, version=VERSION))
        commands = {
            "reset": lambda a: world.reset(a["seeds"], a["indices"]),
            "step": lambda a: world.step(a["actions"], a["active"]),
            "get_state": lambda a: world.get_state(),
            "set_state": lambda a: world.set_state(a),
        }
        while True:
            kind, _, arrays = receive(sock)
            if kind == "close":
                break
            if kind not in commands:
                raise Refused("there is no message %r; there are: %s, close" % (kind[:40], ", ".join(commands)))
            send(sock, "done", {}, commands[kind](arrays))
    except Closed:
        pass  # the client is gone
    except Exception as error:
        mistake = isinstance(error, (Refused, MessageError))
        with contextlib.suppress(Closed):
            send(
                sock,
                "error",
                {
                    "kind": "mistake" if mistake else "bug",
                    "message": str(error) if mistake else traceback.format_exc()[-8000:],
                },
            )
    finally:
        if world is not None:
            world.close()
        sock.close()
