"""A checkpoint directory: its tensors, its plan, its hashes."""
from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Literal, overload

import h5py

from . import hashing
from .container import attributes, children, integer, open_file, read_part, read_tensor, reading, text
from .encodings import decode
from .errors import CheckpointError, Place
from .tensor import EncodedTensor, Floats

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class PlanUnit:
    """What the search chose for one unit.

    Attributes:
        name: e.g. "block_0003.gate_up".
        setting: method and settings, e.g. "integer ... num_bits=4 ...".
        bytes: that its tensors take.
        error: tr(dW G dW^T), summed over its tensors; NaN where the plan has none.
        relative_error: the same, divided by tr(W G W^T); NaN likewise.
    """

    name: str
    setting: str
    bytes: int
    error: float
    relative_error: float


class Checkpoint:
    """A compressed checkpoint (docs/file_format.md), open for reading. Holds no file open.

    Args:
        directory: with checkpoint.h5 in it.
        check_hashes: True: of all that is read, which needs the package xxhash. False: of nothing. None: if xxhash is
            installed; a warning says so if it is not. Without hashes a flipped bit among numbers is not noticed.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or its format is not version 1.
        ImportError: `check_hashes` is True and there is no xxhash.

    Attributes:
        directory: as given.
        attributes: of the root group: family, budget, source_dtype, checkpoint_hash, ...
        config: config.json. Of a sliced model its `hidden_size` and the like are not all, see `slicing`.
        slicing: slicing.json, of a sliced model that no stock class computes; else None.
        checks_hashes: whether hashes are checked.
    """

    def __init__(self, directory: str | os.PathLike[str], check_hashes: bool | None = None) -> None:
        self.directory = Path(directory)
        if check_hashes and not hashing.can_hash():
            raise ImportError("check_hashes needs the package xxhash (Debian: python3-xxhash)")
        if check_hashes is None and not hashing.can_hash():
            warnings.warn("the package xxhash (Debian: python3-xxhash) is not installed: hashes of what is read are not checked",
                          stacklevel=2)
        self.checks_hashes = hashing.can_hash() if check_hashes is None else check_hashes
        self._master = self.directory / "checkpoint.h5"
        with open_file(self._master) as file:
            self.attributes = attributes(file)
            version = integer(self.attributes, "format_version", Place(self._master))
            Place(self._master).require(version == FORMAT_VERSION, f"format version {version}", f"{FORMAT_VERSION}, the one this "
                                        "package reads" + ("; a newer package may" if version > FORMAT_VERSION else ""))
            self._shards = self._shard_files(file)
        self._shard_of = self._find_tensors()
        self.config: dict[str, Any] = self._json("config.json")
        self.slicing: dict[str, Any] | None = None
        if (self.directory / "slicing.json").exists():
            self.slicing = self._json("slicing.json")

    def names(self) -> list[str]:
        """Names of all tensors: block after block, then what stands outside; within those in order."""
        return list(self._shard_of)

    def encoded(self, name: str) -> EncodedTensor:
        """A tensor as it is stored. Raises CheckpointError, KeyError for a name that is not there."""
        shard = self._shard_of[name]
        with open_file(shard) as file:
            return self._read(file, name, Place(shard, name))

    def tensor(self, name: str) -> Floats:
        """The values that a tensor stands for.

        Returns:
            float32 in the tensor's shape: the very numbers that Lathe computes with. A linear weight is
            [out_features, in_features] in every family.

        Raises:
            CheckpointError: it is damaged.
            KeyError: there is none of this name.
        """
        return decode(self.encoded(name), Place(self._shard_of[name], name))

    def tensors(self) -> Iterator[tuple[str, Floats]]:
        """All names and values, one after another, so that one tensor at a time is in memory. Raises CheckpointError."""
        for name in self._shard_of:
            yield name, self.tensor(name)

    @overload
    def state_dict(self, kind: Literal["numpy"]) -> dict[str, Floats]: ...

    @overload
    def state_dict(self, kind: Literal["auto", "torch"] = "auto") -> dict[str, Any]: ...

    def state_dict(self, kind: Literal["auto", "numpy", "torch"] = "auto") -> dict[str, Any]:
        """All tensors by their names, float32.

        Args:
            kind: NumPy arrays or torch tensors (which own their memory); "auto": torch tensors if torch is installed.

        Raises:
            CheckpointError: a tensor is damaged.
            ImportError: `kind` is "torch" and there is none.
        """
        if kind == "numpy" or (kind == "auto" and importlib.util.find_spec("torch") is None):
            return dict(self.tensors())
        import torch

        return {name: torch.from_numpy(values) for name, values in self.tensors()}

    def source_dtype(self, name: str) -> str:
        """The type a tensor had in the source: "float16", "bfloat16" or "float32"; of one-dimensional tensors that are
        stored as they were, theirs. Raises CheckpointError, KeyError."""
        shard = self._shard_of[name]
        place = Place(shard, name)
        with open_file(shard) as file:
            group = file[name]
            found = attributes(group)
            if "source_dtype" in found:
                return text(found, "source_dtype", place)
            if text(found, "encoding", place) == "dense" and "," not in text(found, "shape", place):
                return text(attributes(group["values"]), "dtype", place.within("values"))
        return text(self.attributes, "source_dtype", Place(self._master))

    def plan(self) -> list[PlanUnit]:
        """What the search chose, unit after unit. Raises CheckpointError."""
        place = Place(self._master, "plan")
        with open_file(self._master) as file:
            inside = children_but_links(file)
            place.require("plan" in inside, "is not there")
            part = read_part(inside["plan"], self.checks_hashes, place)
        with reading(place, "is no list of units"):
            return [PlanUnit(str(unit["name"]), str(unit["setting"]), int(unit["bytes"]), _number(unit.get("error")),
                             _number(unit.get("relative_error"))) for unit in json.loads(part.array.tobytes())]

    def verify(self) -> list[str]:
        """Everything read back: files against index.json, tensors, plan and the whole against their hashes.

        Returns:
            What is wrong, a line each; nothing if the checkpoint is sound.

        Raises:
            ImportError: there is no xxhash.
        """
        if not hashing.can_hash():
            raise ImportError("verify() needs the package xxhash (Debian: python3-xxhash)")
        checked = Checkpoint(self.directory, check_hashes=True)
        problems = checked._wrong_files()
        hashes = []
        for name, shard in checked._shard_of.items():
            try:
                encoded = checked.encoded(name)
                decode(encoded, Place(shard, name))
                hashes.append((name, encoded.encoding, hashing.content_hash(encoded)))
            except CheckpointError as error:
                problems.append(str(error))
        try:
            checked.plan()
        except CheckpointError as error:
            problems.append(str(error))
        if not problems and hashing.checkpoint_hash(hashes) != checked.attributes.get("checkpoint_hash"):
            problems.append(f"{self._master}: the checkpoint's hash is not that of its tensors: one is missing, or is another's")
        return problems

    # ---- reading ---------------------------------------------------------------------------------

    def _shard_files(self, file: Any) -> list[Path]:
        """The shards that the master's links name, each beside it in blocks/."""
        place = Place(self._master)
        place.require(isinstance(file.get("blocks", getlink=True), h5py.HardLink), "has no group 'blocks'")
        shards = []
        for name in file["blocks"]:
            link = file["blocks"].get(name, getlink=True)
            expected = f"blocks/{name}.h5"
            place.require(isinstance(link, h5py.ExternalLink) and link.filename == expected and link.path == "/"
                          and name == PurePosixPath(name).name, f"the link blocks/{name} leads elsewhere", f"to {expected}")
            shards.append(self.directory / expected)
        place.require(bool(shards), "has no blocks")
        return shards

    def _find_tensors(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for shard in self._shards:
            with open_file(shard) as file:
                for name in children(file, Place(shard)):
                    Place(shard, name).require(name not in found, f"is in {found.get(name)} too")
                    found[name] = shard
        return found

    def _read(self, file: Any, name: str, place: Place) -> EncodedTensor:
        inside = file.get(name, getlink=True)
        place.require(isinstance(inside, h5py.HardLink), "is not there any more")
        tensor = read_tensor(file[name], self.checks_hashes, place)
        if self.checks_hashes:
            expected, found = text(attributes(file[name]), "content_hash", place), hashing.content_hash(tensor)
            place.require(found == expected, f"is damaged: its content hash is {found}", expected)
        return tensor

    def _json(self, name: str) -> dict[str, Any]:
        place = Place(self.directory / name)
        with reading(place, "is no JSON text"):
            found = json.loads((self.directory / name).read_text("utf-8"))
        place.require(isinstance(found, dict), "is no JSON object", "an object")
        return dict(found)

    def _wrong_files(self) -> list[str]:
        """Files whose size or hash is not what index.json says."""
        place = Place(self.directory / "index.json")
        try:
            index = self._json("index.json")
            files = index.get("files")
            place.require(isinstance(files, dict) and all(isinstance(entry, dict) for entry in files.values()), "has no list of files")
            assert isinstance(files, dict)
            compact = json.dumps(files, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
            place.require(index.get("hash") == hashing.hash_bytes(compact.encode()), "is damaged: its hash is another")
            exact = json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False)
            place.require((self.directory / "index.json").read_text("utf-8") == exact, "is not as it was written")
        except CheckpointError as error:
            return [str(error)]
        wrong = []
        for name, entry in files.items():
            path = self.directory / name
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not path.is_file():
                wrong.append(f"{path}: is not there")
            elif path.stat().st_size != entry.get("size"):
                wrong.append(f"{path}: has {path.stat().st_size} bytes, expected {entry.get('size')}")
            elif hashing.hash_bytes(path.read_bytes()) != entry.get("hash"):
                wrong.append(f"{path}: is damaged: its hash is another")
        return wrong


def children_but_links(file: Any) -> dict[str, Any]:
    """The objects of a file's root that lie in the file itself."""
    return {name: file[name] for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
