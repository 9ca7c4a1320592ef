"""Read a pickle without running it: a machine that follows its opcodes and never calls or imports anything.

`pickle.load` looks names up and calls them, so a foreign file can do anything. Here a name stays a `Name`, and a call
gives an inert `Made` that remembers the name. What weights need is built in: an ordered dict is a dict, and a rebuilt
tensor is a `TensorAt`, the place of its numbers. `weights.py` holds the list of the names that a file of weights may
refer to, and refuses a file if this machine finds another name in it.

A few bytes of a pickle can also stand for a value of any size. Therefore the opcodes are counted, names and shapes have
a greatest length, and no foreign object is copied, hashed or printed.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

MOST_OPCODES = 1 << 20
"""Most opcodes of one pickle. A checkpoint needs about 30 for each tensor."""
MOST_DIMENSIONS, LONGEST_NAME, MOST_INDEX = 64, 1000, 1 << 32
"""Most dimensions of a tensor, most letters of a name, and the end of the memo's indices."""
DICTS = ("collections.OrderedDict", "builtins.dict", "__builtin__.dict")


@dataclass(eq=False)
class Name:
    """A global that the file refers to, `module.attribute`. Nothing is imported."""

    path: str


@dataclass(eq=False)
class Made:
    """Stands for the object that a call would have made. Nothing is called."""

    name: str
    state: Any = field(default=None, repr=False)


@dataclass(eq=False)
class TensorAt:
    """The place of a tensor's numbers: the storage, the first element, the size and the stride."""

    storage: Any
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_pickle(file: IO[bytes], persistent: Callable[[Any], Any] | None = None) -> tuple[Any, set[str]]:
    """The object of one pickle, and every name that the pickle refers to. Afterwards `file` stands right behind it.

    `persistent` gives the object of a persistent id. A malformed pickle raises an ordinary exception of any type.
    """
    machine = _Machine(persistent)
    return machine.run(file), machine.names


class _Machine:
    """The pickle virtual machine, up to protocol 4, without its calls."""

    ARGUMENT = frozenset(
        [
            "INT",
            "BININT",
            "BININT1",
            "BININT2",
            "LONG",
            "LONG1",
            "LONG4",
            "FLOAT",
            "BINFLOAT",
            "STRING",
            "BINSTRING",
            "SHORT_BINSTRING",
            "UNICODE",
            "BINUNICODE",
            "SHORT_BINUNICODE",
            "BINUNICODE8",
            "BINBYTES",
            "SHORT_BINBYTES",
            "BINBYTES8",
        ]
    )
    CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
    NEW = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}

    def __init__(self, persistent: Callable[[Any], Any] | None):
        self.stack: list = []
        self.below: list[list] = []  # the stacks under each open mark
        self.memo: dict[int, Any] = {}
        self.names: set[str] = set()
        self.persistent = persistent

    def run(self, file: IO[bytes]) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            name = opcode.name
            if count >= MOST_OPCODES:
                raise ValueError(f"a pickle of more than {MOST_OPCODES:,} operations")
            if name in self.ARGUMENT:
                self.stack.append(argument)
            elif name in self.CONSTANT:
                self.stack.append(self.CONSTANT[name])
            elif name in self.NEW:
                self.stack.append(self.NEW[name]())
            elif name == "STOP":
                (result,) = self.stack
                return result
            elif name not in ("PROTO", "FRAME"):
                getattr(self, "op_" + name.lower())(argument)  # AttributeError: an opcode that weights don't need
        raise ValueError("a pickle without an end")

    def to_mark(self) -> list:
        items, self.stack = self.stack, self.below.pop()
        return items

    def name(self, path: str) -> None:
        if len(path) > LONGEST_NAME:
            raise ValueError(f"a name of {len(path):,} letters")
        self.names.add(path)
        self.stack.append(Name(path))

    def call(self, function: Any, arguments: Any) -> Any:
        path = function.path
        if path in DICTS and not arguments:
            return {}
        if path == "torch._utils._rebuild_tensor_v2":
            storage, offset, size, stride = arguments[:4]
            if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) > MOST_DIMENSIONS:
                raise ValueError("a tensor of impossible shape")
            return TensorAt(storage, offset, size, stride)
        if path == "torch._utils._rebuild_parameter":
            return arguments[0]
        return Made(path)

    # ---- the stack and the memo
    def op_mark(self, _):
        self.below.append(self.stack)
        self.stack = []

    def op_pop(self, _):
        self.stack.pop() if self.stack else self.to_mark()

    def op_pop_mark(self, _):
        self.to_mark()

    def op_dup(self, _):
        self.stack.append(self.stack[-1])

    def op_get(self, index):
        self.stack.append(self.memo[index])

    def op_put(self, index):
        if not 0 <= index < MOST_INDEX:
            raise ValueError("an index that no pickle needs")
        self.memo[index] = self.stack[-1]

    def op_memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    op_binget = op_long_binget = op_get
    op_binput = op_long_binput = op_put

    # ---- containers
    def op_tuple(self, _):
        items = self.to_mark()
        self.stack.append(tuple(items))

    def op_list(self, _):
        items = self.to_mark()
        self.stack.append(items)

    op_frozenset = op_list

    def op_tuple1(self, _):
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def op_tuple2(self, _):
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def op_tuple3(self, _):
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def op_dict(self, _):
        items = self.to_mark()
        self.stack.append({})
        self._set(items)

    def op_append(self, _):
        item = self.stack.pop()
        self._extend([item])

    def op_appends(self, _):
        items = self.to_mark()
        self._extend(items)

    op_additems = op_appends

    def op_setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def op_setitems(self, _):
        items = self.to_mark()
        self._set(items)

    def _extend(self, items: list) -> None:
        if isinstance(self.stack[-1], list):  # otherwise a Made: what it would hold doesn't matter
            self.stack[-1].extend(items)

    def _set(self, items: list) -> None:
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, str))

    # ---- names, and what a real machine would call
    def op_global(self, argument):
        self.name(argument.replace(" ", ".", 1))

    def op_stack_global(self, _):
        attribute, module = self.stack.pop(), self.stack.pop()
        if len(module) > LONGEST_NAME or len(attribute) > LONGEST_NAME:  # joined, one text gives many
            raise ValueError("a name that is too long")
        self.name(".".join((module, attribute)))

    def op_reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.call(function, arguments))

    op_newobj = op_reduce

    def op_newobj_ex(self, _):
        self.stack.pop()
        self.op_reduce(None)

    def op_inst(self, argument):
        arguments = self.to_mark()
        self.op_global(argument)
        self.stack.append(self.call(self.stack.pop(), arguments))

    def op_obj(self, _):
        function, *arguments = self.to_mark()
        self.stack.append(self.call(function, arguments))

    def op_build(self, _):
        state = self.stack.pop()
        if isinstance(self.stack[-1], Made):  # a dict's attributes (`_metadata`) don't matter
            self.stack[-1].state = state

    def op_binpersid(self, _):
        if self.persistent is None:
            raise ValueError("a persistent id, which only archives of PyTorch have")
        self.stack.append(self.persistent(self.stack.pop()))
