"""HDF5 files of a checkpoint: docs/file_format.md, "Container". Whoever made a file does not choose which others are
read, how much memory is asked for, or which error a reader sees."""
from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from . import hashing
from .encodings import MOST_PIECE_DEPTH
from .errors import CheckpointError, Place
from .tensor import NUMPY_TYPES, EncodedTensor, Part

#: Attributes of a tensor's group that are no settings.
OWN_ATTRIBUTES = {"encoding", "shape", "content_hash", "source_dtype"}

SIGNATURE = b"\x89HDF\r\n\x1a\n"

Attributes = dict[str, int | float | str]


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[Any]:
    """An h5py.File for reading. Raises CheckpointError; errors of h5py within become such."""
    place = Place(path)
    if not path.is_file():
        place.fail("there is no such file" if not path.exists() else "is not a regular file", "an HDF5 file")
    with reading(place, "is no HDF5 file, or it is damaged"):
        with open(path, "rb") as raw:
            start = raw.read(9)
        place.require(start[:8] == SIGNATURE, "is no HDF5 file, or it is damaged")
        # Older files have metadata without check sums, and HDF5 1.10 crashes on damaged ones.
        place.require(start[8:] == b"\x03", f"has a superblock of version {start[8:].hex() or 'nothing'}", "3, HDF5 1.10's")
        with h5py.File(path, "r", locking=False) if _has_locking() else h5py.File(path, "r") as file:
            yield file


def _has_locking() -> bool:
    """h5py takes `locking` where its HDF5 does: 1.12.1 and 1.10.7 onwards."""
    version: tuple[int, ...] = tuple(h5py.version.hdf5_version_tuple)
    return version >= (1, 12, 1) or (1, 10, 7) <= version < (1, 11)


@contextlib.contextmanager
def reading(place: Place, message: str = "cannot be read") -> Iterator[None]:
    """Errors that h5py and NumPy have for damaged files become CheckpointErrors."""
    try:
        yield
    except CheckpointError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        place.fail(f"{message} ({type(error).__name__}: {error})")


def children(group: Any, place: Place) -> dict[str, Any]:
    """The objects in a group, by name. Raises CheckpointError for links to elsewhere."""
    found = {}
    for name in group:
        link = group.get(name, getlink=True)
        place.require(isinstance(link, h5py.HardLink), f"'{name}' is a link to another place; it is not followed")
        found[name] = group[name]
    return found


def attributes(thing: Any) -> Attributes:
    """Attributes of the three kinds that the format has; others are passed over."""
    found: Attributes = {}
    for name in thing.attrs:
        identifier = thing.attrs.get_id(name)
        kind = identifier.get_type()
        # Texts of variable length lie in a heap of the file, and HDF5 1.10 goes round in a damaged one without end.
        if identifier.shape not in ((), (1,)) or (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()):
            continue
        value = thing.attrs[name]
        value = value.reshape(())[()] if isinstance(value, np.ndarray) else value
        if isinstance(value, bytes):
            found[name] = value.split(b"\0")[0].decode()
        elif isinstance(value, str):
            found[name] = value
        elif isinstance(value, (int, np.integer, np.bool_)):
            found[name] = int(value)
        elif isinstance(value, (float, np.floating)):
            found[name] = float(value)
    return found


def text(found: Attributes, key: str, place: Place) -> str:
    """A text among attributes. Raises CheckpointError."""
    value = found.get(key)
    if not isinstance(value, str):
        place.fail(f"has no attribute '{key}'" if value is None else f"attribute '{key}' is {value!r}", "a text of fixed length")
    return value


def integer(found: Attributes, key: str, place: Place) -> int:
    """A whole number among attributes. Raises CheckpointError."""
    value = found.get(key)
    if not isinstance(value, int):
        place.fail(f"has no attribute '{key}'" if value is None else f"attribute '{key}' is {value!r}", "an integer")
    return value


def read_part(dataset: Any, check_hash: bool, place: Place) -> Part:
    """A dataset with its type, and its hash if that is asked for. Raises CheckpointError."""
    found = attributes(dataset)
    dtype = text(found, "dtype", place)
    place.require(dtype in NUMPY_TYPES, f"attribute 'dtype' is '{dtype}'", "one of " + ", ".join(NUMPY_TYPES))
    place.require(dataset.dtype == NUMPY_TYPES[dtype], f"attribute 'dtype' says {dtype}, but elements are {dataset.dtype}")
    place.require(dataset.shape is not None, "is a null dataset", "a shape")
    place.require(not dataset.is_virtual and not dataset.external, "has its bytes in other files; they are not read")
    place.require(dataset.chunks is None, "is stored in chunks", "contiguous elements")
    stored = int(dataset.id.get_storage_size())
    place.require(stored == dataset.size * dataset.dtype.itemsize and stored <= dataset.file.id.get_filesize(),
                  f"has {stored} bytes for shape {list(dataset.shape)}", f"{dataset.size * dataset.dtype.itemsize} in the file")
    array = np.ascontiguousarray(dataset[()], NUMPY_TYPES[dtype]).reshape(dataset.shape)
    if check_hash:
        expected, hashed = text(found, "hash", place), hashing.hash_bytes(array.tobytes())
        place.require(hashed == expected, f"is damaged: its bytes have the hash {hashed}", expected)
    return Part(dtype, array)


def read_shape(found: Attributes, place: Place) -> tuple[int, ...]:
    """The attribute `shape`: numbers with commas between them, or nothing. Raises CheckpointError."""
    shape = text(found, "shape", place)
    place.require(re.fullmatch(r"([0-9]{1,19}(,[0-9]{1,19})*)?", shape) is not None, f"shape is '{shape}'", "numbers and commas")
    place.require(shape.count(",") < 32, f"shape is '{shape[:40]}...'", "at most 32 extents")
    return tuple(int(extent) for extent in shape.split(",")) if shape else ()


def read_tensor(group: Any, check_hash: bool, place: Place, depth: int = MOST_PIECE_DEPTH) -> EncodedTensor:
    """The encoded tensor in a group, its parts read, its settings not checked. Raises CheckpointError."""
    place.require(isinstance(group, h5py.Group), "is a dataset", "a group")
    found = attributes(group)
    settings = {key: integer(found, key, place) for key in found if key not in OWN_ATTRIBUTES}
    parts, n_pieces = {}, 0
    inside = children(group, place)
    for name, child in inside.items():
        if isinstance(child, h5py.Dataset):
            parts[name] = read_part(child, check_hash, place.within(name))
        else:
            n_pieces += 1
    place.require(n_pieces == 0 or depth > 0, "pieces within pieces, more than any encoding has")
    names = [str(i) for i in range(n_pieces)]
    missing = next((name for name in names if name not in inside), None)
    place.require(missing is None, f"has no piece '{missing}'", f"pieces '0' to '{n_pieces - 1}'")
    pieces = tuple(read_tensor(inside[name], check_hash, place.within(name), depth - 1) for name in names)
    return EncodedTensor(text(found, "encoding", place), read_shape(found, place), settings, parts, pieces)
