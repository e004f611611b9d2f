"""What tests of the Python package share: a Python that has h5py, the package from the tree, a writer of checkpoints."""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))
sys.dont_write_bytecode = True

try:
    import h5py
    import numpy as np
except ImportError:
    system = "/usr/bin/python3"
    if os.path.realpath(sys.executable) != os.path.realpath(system) and os.path.exists(system):
        os.execv(system, [system, *sys.argv])
    print("skipped: no Python with h5py and NumPy")
    sys.exit(77)

from lathe_checkpoint import EncodedTensor, Part, hashing  # noqa: E402


def text(value):
    """A text of fixed length, as the format has it."""
    return np.bytes_(value.encode() or b"\0")


def write_part(group, name, part):
    dataset = group.create_dataset(name, data=part.array)
    dataset.attrs["dtype"] = text(part.dtype)
    dataset.attrs["hash"] = text(hashing.hash_bytes(part.array.tobytes()) if hashing.can_hash() else "0" * 16)


def write_tensor(parent, name, tensor, is_piece=False):
    if name in parent:
        del parent[name]
    group = parent.create_group(name)
    group.attrs["encoding"] = text(tensor.encoding)
    group.attrs["shape"] = text(",".join(map(str, tensor.shape)))
    for key, value in tensor.settings.items():
        group.attrs[key] = np.int64(value)
    if not is_piece:
        group.attrs["content_hash"] = text(hashing.content_hash(tensor) if hashing.can_hash() else "0" * 16)
    for part in tensor.parts:
        write_part(group, part, tensor.parts[part])
    for i, piece in enumerate(tensor.pieces):
        write_tensor(group, str(i), piece, True)


def write_checkpoint(directory, tensors, version=1):
    """A checkpoint of these tensors, all outside of blocks."""
    (directory / "blocks").mkdir(parents=True)
    with h5py.File(directory / "blocks/outer.h5", "w", libver=("v110", "v110")) as shard:
        for name, tensor in tensors.items():
            write_tensor(shard, name, tensor)
    with h5py.File(directory / "checkpoint.h5", "w", libver=("v110", "v110")) as master:
        master.attrs["format_version"] = np.int64(version)
        master.attrs["source_dtype"] = text("float32")
        master.create_group("blocks")["outer"] = h5py.ExternalLink("blocks/outer.h5", "/")
        plan = b'[{"bytes": 12, "error": null, "name": "head", "relative_error": 0.5, "setting": "dense"}]'
        write_part(master, "plan", Part("uint8", np.frombuffer(plan, np.uint8)))
    (directory / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')


# ---- random tensors of every encoding ------------------------------------------------------------

def packed(codes, bits):
    """uint32 words of rows of codes: the format's example turned round, a bit at a time."""
    rows, count = codes.shape
    words = np.zeros((rows, -(-count * bits // 32)), np.uint32)
    for j in range(count):
        for b in range(bits):
            n = j * bits + b
            words[:, n // 32] |= ((codes[:, j].astype(np.uint32) >> np.uint32(b)) & np.uint32(1)) << np.uint32(n % 32)
    return Part("uint32", words)


def halves(random, *shape):
    """Of all magnitudes, so that sums in another order have other last bits."""
    return Part("float16", (random.standard_normal(shape) * 2.0 ** random.integers(-16, 5, shape)).astype(np.float16))


def tensor(encoding, shape, settings, parts):
    return EncodedTensor(encoding, tuple(shape), settings, dict(sorted(parts.items())))


def matrix_of(shape):
    return int(np.prod(shape[:-1])), shape[-1]


def integer(random, shape, bits, size, symmetric, float8=False):
    rows, cols = matrix_of(shape)
    codes = random.integers(0, 1 << bits, (rows, cols))
    groups = -(-cols // size)
    parts = {"codes": packed(codes, bits), "scales": halves(random, rows, groups)}
    if not symmetric:
        parts["zeros"] = Part("uint8", random.integers(0, 1 << bits, (rows, groups), np.uint8))
    settings = {"num_bits": bits, "group_size": size, "symmetric": int(symmetric)}
    if float8:
        settings["float8_scales"] = 1
        parts["scales"] = Part("uint8", random.integers(0, 256, (rows, groups), np.uint8))
        if not symmetric:
            parts["zeros"] = packed(parts["zeros"].array, bits)
    return tensor("integer", shape, settings, parts)


def bcq(random, shape, bits, size, uniform, offset):
    rows, cols = matrix_of(shape)
    groups = -(-cols // size)
    planes = np.stack([packed(random.integers(0, 2, (rows, cols)), 1).array for _ in range(bits)], axis=1)
    parts = {"planes": Part("uint32", planes), "scales": halves(random, *((rows, groups) if uniform else (rows, groups, bits)))}
    if offset and uniform:
        parts["zeros"] = Part("uint8", random.integers(0, 1 << bits, (rows, groups), np.uint8))
    elif offset:
        parts["offsets"] = halves(random, rows, groups)
    return tensor("bcq", shape, {"num_bits": bits, "group_size": size, "uniform": int(uniform), "offset": int(offset)}, parts)


def nm(random, shape, n, m, bits, size, binary=False, dtype="float32"):
    rows, cols = matrix_of(shape)
    kept = np.sort(np.argsort(random.random((rows, cols // m, m)), axis=2)[..., :n], axis=2)
    if m == 4 and n <= 2:
        meta = packed(kept.reshape(rows, -1), 2)
    else:
        meta = packed((kept[..., None] == np.arange(m)).any(axis=2).reshape(rows, cols), 1)
    stored = cols // m * n
    parts = {"meta": meta}
    if bits == 0:
        values = random.standard_normal((rows, stored)).astype(np.float32)
        parts["values"] = Part(dtype, {"float32": values, "float16": values.astype(np.float16),
                                       "bfloat16": (values.view(np.uint32) >> 16).astype(np.uint16)}[dtype])
    else:
        groups = -(-cols // size)
        parts["codes"] = packed(random.integers(0, 1 << bits, (rows, stored)), bits)
        parts["scales"] = halves(random, *((rows, groups, bits) if binary else (rows, groups)))
    return tensor("nm", shape, {"n": n, "m": m, "num_bits": bits, "group_size": size if bits else 0, "binary": int(binary)}, parts)


def block_shift(random, shape, bits, size, scale_bits, lowest=-3):
    rows, cols = matrix_of(shape)
    blocks = -(-cols // size)
    settings = {"num_bits": bits, "block_size": size, "scale_bits": scale_bits}
    parts = {"codes": packed(random.integers(1, 1 << bits, (rows, cols)), bits)}
    if scale_bits == 16:
        parts["scales"] = halves(random, rows, blocks)
    elif scale_bits == 8:
        parts["shifts"] = Part("int8", random.integers(lowest, lowest + 28, (rows, blocks), np.int8))
    else:
        settings["shift_base"] = lowest
        parts["shifts"] = packed(random.integers(0, 28, (1, rows * blocks)), 6)
    return tensor("block_shift", shape, settings, parts)


def dense(random, shape, dtype="float32"):
    values = random.standard_normal(shape).astype(np.float32)
    return tensor("dense", shape, {}, {"values": Part(dtype, {
        "float32": values, "float16": values.astype(np.float16), "bfloat16": (values.view(np.uint32) >> 16).astype(np.uint16)}[dtype])})


def joined(encoding, shape, settings, pieces):
    return EncodedTensor(encoding, tuple(shape), settings, {}, tuple(pieces))


def low_rank(random, shape, rank, bits):
    rows, cols = shape
    return joined("low_rank", shape, {}, (integer(random, (rows, rank), bits, 7, True), integer(random, (rank, cols), bits, 9, False)))


def main(tests):
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok {test.__name__}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAILED {test.__name__}: {error}", flush=True)
    sys.exit(failed > 0)
