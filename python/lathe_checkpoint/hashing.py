"""XXH3-64 hashes of a checkpoint's numbers, if the package xxhash (Debian: python3-xxhash) is there."""
from __future__ import annotations

import importlib
import struct
from typing import Any

from .tensor import EncodedTensor

try:
    _xxhash: Any = importlib.import_module("xxhash")
except ImportError:
    _xxhash = None


def can_hash() -> bool:
    """Whether hashes can be checked: xxhash is installed."""
    return _xxhash is not None


def hash_bytes(data: Any) -> str:
    """XXH3-64, seed 0, of bytes (anything with the buffer interface): 16 lower-case hexadecimal digits."""
    return str(_xxhash.xxh3_64_hexdigest(data))


class _Hasher:
    """The hash of a sequence of fields, as lib/core/hash.hpp makes it: texts have their length before them."""

    def __init__(self) -> None:
        self._state = _xxhash.xxh3_64()

    def number(self, value: int) -> None:
        self._state.update(struct.pack("<Q", value & 0xFFFFFFFFFFFFFFFF))

    def text(self, value: str) -> None:
        encoded = value.encode()
        self.number(len(encoded))
        self._state.update(encoded)

    def shape(self, shape: tuple[int, ...]) -> None:
        self.number(len(shape))
        for extent in shape:
            self.number(extent)

    def data(self, data: Any) -> None:
        self._state.update(data)

    def digest(self) -> str:
        return str(self._state.hexdigest())


def content_hash(tensor: EncodedTensor) -> str:
    """The attribute `content_hash` of an encoded tensor: over encoding, shape, settings, parts and pieces."""
    hasher = _Hasher()
    hasher.text(tensor.encoding)
    hasher.shape(tensor.shape)
    hasher.number(len(tensor.settings))
    for key in sorted(tensor.settings, key=str.encode):
        hasher.text(key)
        hasher.number(tensor.settings[key])
    hasher.number(len(tensor.parts))
    for name in sorted(tensor.parts, key=str.encode):
        part = tensor.parts[name]
        hasher.text(name)
        hasher.text(part.dtype)
        hasher.shape(part.array.shape)
        hasher.number(part.array.nbytes)
        hasher.data(part.array.tobytes())
    for piece in tensor.pieces:
        hasher.number(int(content_hash(piece), 16))
    return hasher.digest()


def checkpoint_hash(tensors: list[tuple[str, str, str]]) -> str:
    """The root attribute `checkpoint_hash`, of (name, encoding, content hash) of all tensors."""
    hasher = _Hasher()
    for fields in sorted(tensors, key=lambda fields: [text.encode() for text in fields]):
        for text in fields:
            hasher.text(text)
    return hasher.digest()
