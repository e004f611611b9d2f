"""Damaged, hostile and newer checkpoints in the Python package: a CheckpointError that names file and tensor, nothing else."""
import json
import os
import pathlib
import random
import shutil
import tempfile
import warnings

import support
import h5py
import numpy as np
from lathe_checkpoint import Checkpoint, CheckpointError, NoStockModelError, hashing, load_transformers

warnings.simplefilter("ignore")
RANDOM = np.random.default_rng(7)
SPLIT = support.joined("split", (7, 20), {"axis": 0}, (support.integer(RANDOM, (4, 20), 3, 8, False), support.low_rank(RANDOM, (3, 20), 2, 4)))
TENSORS = {"a.weight": support.integer(RANDOM, (5, 21), 4, 8, False), "b.weight": support.nm(RANDOM, (3, 12), 2, 4, 0, 0),
           "c.weight": SPLIT, "d.bias": support.block_shift(RANDOM, (40,), 4, 16, 6)}


class Directory:
    """A sound checkpoint, removed at the end."""

    def __init__(self, version=1):
        self.version = version

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="lathe-python-")) / "checkpoint"
        support.write_checkpoint(self.path, TENSORS, self.version)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path.parent, ignore_errors=True)


def read_all(directory):
    checkpoint = Checkpoint(directory)
    checkpoint.plan()
    return dict(checkpoint.tensors())


def refused(directory, *expected, tensor=None, action=read_all):
    try:
        action(directory)
    except CheckpointError as error:
        for word in expected:
            assert word in str(error), (word, str(error))
        assert str(error).startswith(error.file) and error.file.startswith(str(directory)), error.file
        assert tensor is None or error.tensor == tensor, (error.tensor, tensor)
        return error
    raise AssertionError(f"not refused: {expected}")


def a_sound_one_is_read():
    with Directory() as directory:
        found = read_all(directory)
        assert list(found) == list(TENSORS)
        checkpoint = Checkpoint(directory)
        assert checkpoint.checks_hashes == hashing.can_hash()
        [unit] = checkpoint.plan()
        assert unit.name == "head" and unit.bytes == 12 and np.isnan(unit.error) and unit.relative_error == 0.5
        assert checkpoint.source_dtype("a.weight") == "float32"
        assert all(value.dtype == np.float32 for value in checkpoint.state_dict("numpy").values())
        try:
            checkpoint.tensor("z.weight")
            raise AssertionError("no KeyError")
        except KeyError:
            pass


def what_is_missing_is_named():
    with Directory() as directory:
        refused(directory / "nowhere", "checkpoint.h5", "there is no such file")
        shutil.move(directory / "config.json", directory / "away")
        refused(directory, "config.json")
        shutil.move(directory / "away", directory / "config.json")
        (directory / "config.json").write_text("[1")
        refused(directory, "config.json", "is no JSON text")
        (directory / "blocks/outer.h5").unlink()
        refused(directory, "blocks/outer.h5", "there is no such file")
        (directory / "blocks/outer.h5").mkdir()
        refused(directory, "blocks/outer.h5", "not a regular file")
        (directory / "checkpoint.h5").write_text("text")
        refused(directory, "checkpoint.h5", "no HDF5 file")


def newer_formats_are_refused():
    with Directory(version=2) as directory:
        error = refused(directory, "format version 2", "expected 1", "newer")
        assert error.expected.startswith("1")
    with Directory() as directory:
        with h5py.File(directory / "checkpoint.h5", "r+") as file:
            file.attrs["format_version"] = support.text("1")
        refused(directory, "format_version", "expected an integer")
        with h5py.File(directory / "checkpoint.h5", "r+") as file:
            del file.attrs["format_version"]
        refused(directory, "no attribute 'format_version'")


def older_files_are_refused():
    """HDF5 1.10.8 crashed on a flipped byte of such a one: its metadata has no check sums."""
    with Directory() as directory:
        (directory / "blocks/outer.h5").unlink()
        with h5py.File(directory / "blocks/outer.h5", "w", libver="earliest") as file:
            support.write_tensor(file, "a.weight", TENSORS["a.weight"])
        refused(directory, "outer.h5", "superblock of version 00", "expected 3")


def without_xxhash_nothing_is_checked_and_that_is_said():
    module, hashing._xxhash = hashing._xxhash, None
    try:
        with Directory() as directory:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                assert not Checkpoint(directory).checks_hashes
            assert ["not checked" in str(warning.message) for warning in caught] == [True], caught
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                checkpoint = Checkpoint(directory, check_hashes=False)
            for action in (lambda: Checkpoint(directory, check_hashes=True), checkpoint.verify):
                try:
                    action()
                except ImportError as error:
                    assert "python3-xxhash" in str(error)
                else:
                    raise AssertionError("no ImportError")
    finally:
        hashing._xxhash = module


def truncated_files_are_refused():
    with Directory() as directory:
        for name in ("checkpoint.h5", "blocks/outer.h5"):
            whole = (directory / name).read_bytes()
            for length in [0, 7, *range(40, len(whole), max(1, len(whole) // 40)), len(whole) - 1]:
                (directory / name).write_bytes(whole[:length])
                refused(directory, name)
            (directory / name).write_bytes(whole)
        read_all(directory)


def a_flipped_byte_is_refused_or_changes_nothing():
    """Without hashes numbers may change; nothing but a CheckpointError is raised in any case."""
    chance = random.Random(3)
    with Directory() as directory:
        sound = read_all(directory)
        n_refused = 0
        for name in ("checkpoint.h5", "blocks/outer.h5"):
            whole = (directory / name).read_bytes()
            for offset in chance.sample(range(len(whole)), 250):
                damaged = bytearray(whole)
                damaged[offset] ^= 1 << chance.randrange(8)
                (directory / name).write_bytes(damaged)
                try:
                    found = read_all(directory)
                except CheckpointError:
                    n_refused += 1
                    continue
                if hashing.can_hash():
                    assert found.keys() == sound.keys(), (name, offset)
                    assert all(np.array_equal(found[key], sound[key]) for key in sound), (name, offset)
            (directory / name).write_bytes(whole)
        assert n_refused > 100, n_refused


def edited(directory, change, *expected, tensor=None):
    """Refused after a change of the shard, which is put back."""
    shard = directory / "blocks/outer.h5"
    whole = shard.read_bytes()
    with h5py.File(shard, "r+") as file:
        change(file)
    refused(directory, "outer.h5", *expected, tensor=tensor)
    shard.write_bytes(whole)


def set_attribute(path, key, value):
    def change(file):
        if value is None:
            del file[path].attrs[key]
        else:
            file[path].attrs[key] = value
    return change


def wrong_attributes_are_named():
    text = support.text
    with Directory() as directory:
        for path, key, value, *words in [
                ("a.weight", "encoding", text("gzip"), "unknown encoding 'gzip'" if not hashing.can_hash() else "content hash"),
                ("a.weight", "encoding", None, "no attribute 'encoding'"), ("a.weight", "encoding", np.int64(3), "a text of fixed length"),
                ("a.weight", "encoding", "integer of variable length", "no attribute 'encoding'"),
                ("a.weight", "shape", text("5,,21"), "'5,,21'"), ("a.weight", "shape", text("5,-21"), "'5,-21'"),
                ("a.weight", "shape", text("9" * 40), "numbers and commas"), ("a.weight", "num_bits", text("4"), "num_bits", "an integer"),
                ("a.weight", "num_bits", np.float64(4), "num_bits", "an integer")]:
            edited(directory, set_attribute(path, key, value), *words, tensor="a.weight")
        edited(directory, set_attribute("c.weight/1/0", "shape", text("x")), "numbers", tensor="c.weight/1/0")
        edited(directory, set_attribute("a.weight/codes", "dtype", text("int128")), "int128", "uint32", tensor="a.weight/codes")
        edited(directory, set_attribute("a.weight/codes", "dtype", text("int32")), "elements are uint32", tensor="a.weight/codes")
        if hashing.can_hash():
            edited(directory, set_attribute("a.weight/codes", "hash", text("0" * 16)), "damaged", tensor="a.weight/codes")
            edited(directory, set_attribute("a.weight", "num_bits", np.int64(5)), "content hash", tensor="a.weight")


def files_do_not_choose_what_is_read():
    def replaced(path, make):
        def change(file):
            kept = dict(file[path].attrs)
            del file[path]
            make(file, path)
            for key, value in kept.items():
                if file.get(path, getlink=True).__class__ is h5py.HardLink:
                    file[path].attrs[key] = value
        return change

    def external(file, path):
        file.create_dataset(path, (5, 3), "<u4", external=[("/etc/passwd", 0, 60)])

    def virtual(file, path):
        layout = h5py.VirtualLayout((5, 3), "<u4")
        layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (5, 3))
        file.create_virtual_dataset(path, layout)

    def chunked(file, path):
        file.create_dataset(path, (5, 3), "<u4", chunks=(1, 1))

    def endless(file, path):
        file.create_dataset(path, (1 << 40, 1 << 20), "<u4")  # no storage
    with Directory() as directory:
        for make, word in ((external, "other files"), (virtual, "other files"), (chunked, "chunks"), (endless, "expected"),
                           (lambda file, path: file.create_dataset(path, data=h5py.Empty("<u4")), "null dataset"),
                           (lambda file, path: file.__setitem__(path, h5py.SoftLink("/b.weight/meta")), "link"),
                           (lambda file, path: file.__setitem__(path, h5py.ExternalLink("/etc/passwd", "/")), "link")):
            edited(directory, replaced("a.weight/codes", make), word)
        edited(directory, lambda file: file.__setitem__("e", file["c.weight"]) or file["c.weight/1/0"].__setitem__("0", file["c.weight"]),
               "pieces within pieces")
        edited(directory, lambda file: file.move("c.weight/1", "c.weight/2"), "no piece '1'", tensor="c.weight")
        edited(directory, lambda file: file.create_dataset("plain", data=[1]), "is a dataset", tensor="plain")
        for filename, path in (("/etc/passwd", "/"), ("../checkpoint.h5", "/"), ("blocks/outer.h5", "/a.weight")):
            with h5py.File(directory / "checkpoint.h5", "r+") as file:
                del file["blocks/outer"]
                file["blocks/outer"] = h5py.ExternalLink(filename, path)
            refused(directory, "leads elsewhere", "blocks/outer.h5")


def verify_lists_all_that_is_wrong():
    if not hashing.can_hash():
        print("skipped: no xxhash")
        return
    with Directory() as directory:
        files = {name: {"hash": hashing.hash_bytes((directory / name).read_bytes()), "size": (directory / name).stat().st_size}
                 for name in ("blocks/outer.h5", "config.json")}
        compact = json.dumps(files, separators=(",", ":"), sort_keys=True)
        index = {"files": files, "hash": hashing.hash_bytes(compact.encode())}
        (directory / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True))
        [problem] = Checkpoint(directory).verify()
        assert "checkpoint's hash" in problem  # the fixture has none
        with open(directory / "config.json", "a") as file:
            file.write(" ")
        assert any("config.json" in line and "bytes" in line for line in Checkpoint(directory).verify())
        (directory / "index.json").write_text((directory / "index.json").read_text() + " ")
        assert any("not as it was written" in line for line in Checkpoint(directory).verify())


def models_of_no_stock_class_are_refused():
    with Directory() as directory:
        (directory / "slicing.json").write_text('{"format_version": 1}')
        for act in (load_transformers, lambda d: load_transformers(Checkpoint(d))):
            error = refused(directory, "shortcut matrices", "rotation: global", action=act)
            assert isinstance(error, NoStockModelError)
        os.unlink(directory / "slicing.json")
        (directory / "config.json").write_text("{}")
        refused(directory, "names no class", action=load_transformers)


support.main([a_sound_one_is_read, what_is_missing_is_named, newer_formats_are_refused, older_files_are_refused,
              without_xxhash_nothing_is_checked_and_that_is_said, truncated_files_are_refused,
              a_flipped_byte_is_refused_or_changes_nothing, wrong_attributes_are_named, files_do_not_choose_what_is_read,
              verify_lists_all_that_is_wrong, models_of_no_stock_class_are_refused])
