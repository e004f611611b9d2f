"""Packed rows of symbols: docs/file_format.md, "Packing"."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import Place
from .tensor import Array, EncodedTensor


def words_per_row(count: int, bits: int) -> int:
    """uint32 words that `count` symbols of `bits` bits take."""
    return -(-count * bits // 32)


def check_words(tensor: EncodedTensor, name: str, rows: int, count: int, bits: int, place: Place) -> Array:
    """The part `name`: uint32 [rows, words], zero behind the last symbol of each row. Raises CheckpointError."""
    words = tensor.check_part(name, "uint32", (rows, words_per_row(count, bits)), place)
    check_tails(words, name, count * bits, place)
    return words


def check_tails(words: Array, name: str, bits: int, place: Place) -> None:
    """The last axis of `words` holds `bits` bits; what is behind them must be 0. Raises CheckpointError."""
    if bits % 32:
        behind = np.argwhere(words[..., -1] >> np.uint32(bits % 32))
        place.require(not len(behind), f"part '{name}' has bits set behind the last symbol of row "
                      f"{'/'.join(map(str, behind[0])) if len(behind) else ''}", "zeros")


def unpack(words: Array, count: int, bits: int) -> NDArray[np.uint8]:
    """`count` symbols of 1 to 8 bits from each row of `words`, uint32 [rows, words]: uint8 [rows, count]."""
    rows, stored = words.shape
    # Each word with the next one above it: a symbol may lie in two.
    pairs = np.zeros((rows, stored), np.uint64)
    pairs[:] = words
    pairs[:, :-1] |= words[:, 1:].astype(np.uint64) << np.uint64(32)
    first = np.arange(count, dtype=np.int64) * bits
    symbols = pairs[:, first // 32] >> (first % 32).astype(np.uint64)
    return (symbols & np.uint64((1 << bits) - 1)).astype(np.uint8)
