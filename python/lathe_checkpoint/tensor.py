"""A tensor as a checkpoint stores it, and what every encoding's checks are made of."""
from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import Place

Array = NDArray[Any]
Floats = NDArray[np.float32]

INT64_MAX = (1 << 63) - 1

#: How elements of each `dtype` of the format lie in an array; NumPy has no bfloat16.
NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(text)
    for name, text in {
        "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "int64": "<i8", "int32": "<i4",
        "int16": "<i2", "int8": "|i1", "uint64": "<u8", "uint32": "<u4", "uint16": "<u2", "uint8": "|u1", "bool": "|u1",
    }.items()
}


@dataclasses.dataclass(frozen=True)
class Part:
    """One stored array.

    Attributes:
        dtype: name in the format, e.g. "bfloat16".
        array: the elements as `NUMPY_TYPES[dtype]`, in C order.
    """

    dtype: str
    array: Array


@dataclasses.dataclass(frozen=True)
class EncodedTensor:
    """A tensor as it is stored: docs/file_format.md, "Encodings".

    Attributes:
        encoding: "dense", "integer", "nm", "bcq", "block_shift", "split", "low_rank" or "zeros".
        shape: of the tensor that it stands for.
        settings: of the encoding, e.g. num_bits.
        parts: stored arrays by name.
        pieces: the tensors that "split" and "low_rank" are made of.
    """

    encoding: str
    shape: tuple[int, ...]
    settings: dict[str, int]
    parts: dict[str, Part]
    pieces: tuple[EncodedTensor, ...] = ()

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(rows, cols): rows is the product of all extents but the last; one extent is one row."""
        return (math.prod(self.shape[:-1]), self.shape[-1]) if self.shape else (1, 1)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all parts, those of pieces too; HDF5's own not included."""
        return sum(part.array.nbytes for part in self.parts.values()) + sum(p.stored_bytes for p in self.pieces)

    def setting(self, key: str, least: int, most: int, place: Place) -> int:
        """A setting in its range. Raises CheckpointError."""
        if key not in self.settings:
            place.fail(f"encoding '{self.encoding}' has no setting '{key}'")
        value = self.settings[key]
        upper = "" if most == INT64_MAX else f" to {most}"
        place.require(least <= value <= most, f"setting '{key}' is {value}", f"{least}{upper or ' or more'}")
        return value

    def check_names(self, settings: set[str], parts: set[str], place: Place) -> None:
        """Exactly these settings and parts. Raises CheckpointError."""
        for kind, found, names in (("settings", set(self.settings), settings), ("parts", set(self.parts), parts)):
            place.require(found == names, f"the {kind} of encoding '{self.encoding}' are {_listed(found)}", _listed(names))

    def check_part(self, name: str, dtype: str, shape: tuple[int, ...], place: Place) -> Array:
        """The array of a part of this type and shape. Raises CheckpointError."""
        part = self.parts[name]
        place.require(part.dtype == dtype, f"part '{name}' has type {part.dtype}", dtype)
        place.require(part.array.shape == shape, f"part '{name}' has shape {list(part.array.shape)}", str(list(shape)))
        return part.array

    def check_halves(self, name: str, shape: tuple[int, ...], place: Place) -> Array:
        """A float16 part of finite numbers. Raises CheckpointError."""
        array = self.check_part(name, "float16", shape, place)
        place.require(bool(np.isfinite(array).all()), f"part '{name}' holds a value that is not finite", "finite numbers")
        return array

    def check_zeros(self, name: str, shape: tuple[int, ...], most: int, place: Place) -> Array:
        """A uint8 part of numbers of at most `most`. Raises CheckpointError."""
        array = self.check_part(name, "uint8", shape, place)
        place.require(not array.size or int(array.max()) <= most, f"part '{name}' holds {array.max(initial=0)}",
                      f"at most {most}")
        return array


def as_float32(part: Part) -> Floats:
    """A part of floating numbers in float32, exactly."""
    if part.dtype == "bfloat16":
        return (part.array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return part.array.astype(np.float32)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
