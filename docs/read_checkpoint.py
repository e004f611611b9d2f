#!/usr/bin/env python3
"""Reads one tensor of a compressed checkpoint with h5py and NumPy: docs/file_format.md in code.

usage: read_checkpoint.py CHECKPOINT_DIRECTORY TENSOR_NAME
"""
import sys
import h5py
import numpy as np


def find(file, name):
    """The group of a tensor: one shard a block, and one for what stands outside."""
    return next(shard[name] for shard in file["blocks"].values() if name in shard)


def text(attribute):
    """Older h5py versions give bytes for fixed-length strings."""
    return attribute.decode() if isinstance(attribute, bytes) else str(attribute)


def floats(values):
    if text(values.attrs["dtype"]) == "bfloat16":
        return (values[()].astype(np.uint32) << 16).view(np.float32)
    return values[()].astype(np.float32)


def unpack(dataset, rows, count, bits):
    """`count` symbols of `bits` bits from each row of words."""
    words = dataset[()].astype("<u4").reshape(rows, -1)
    stream = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, :count * bits]
    return stream.reshape(rows, count, bits) @ (1 << np.arange(bits))


def decode_nm(group, rows, cols):
    n, m, bits, size = (int(group.attrs[key]) for key in ("n", "m", "num_bits", "group_size"))
    if m == 4 and n <= 2:  # the columns of each group of four, two bits each
        first = unpack(group["meta"], rows, cols // m * n, 2).reshape(rows, -1, n)
        places = (first[..., None] == np.arange(m)).any(axis=2).reshape(rows, cols)
    else:  # a bit for each column
        places = unpack(group["meta"], rows, cols, 1).astype(bool)
    if bits == 0:
        stored = floats(group["values"])
    else:
        scales = np.repeat(group["scales"][()].astype(np.float32), size // m * n, axis=1)
        codes = unpack(group["codes"], rows, cols // m * n, bits)
        scales = scales[:, :codes.shape[1]]
        if group.attrs["binary"]:
            stored = np.zeros(codes.shape, np.float32)
            for p in range(bits):
                stored = stored + np.where(codes >> p & 1 == 1, scales[..., p], -scales[..., p])
        else:
            stored = scales * (codes - (1 << (bits - 1))).astype(np.float32)
    values = np.zeros((rows, cols), np.float32)
    values[places] = stored.ravel()
    return values


def decode_bcq(group, rows, cols):
    bits, size = int(group.attrs["num_bits"]), int(group.attrs["group_size"])
    spread = lambda part: np.repeat(part[()].astype(np.float32), size, axis=1)[:, :cols]
    planes = unpack(group["planes"], rows * bits, cols, 1).reshape(rows, bits, cols)
    if group.attrs["uniform"]:
        codes = (planes << np.arange(bits)[:, None]).sum(axis=1)
        zeros = spread(group["zeros"]) if group.attrs["offset"] else 1 << (bits - 1)
        return spread(group["scales"]) * (codes - zeros).astype(np.float32)
    scales = spread(group["scales"])
    values = spread(group["offsets"]) if group.attrs["offset"] else np.zeros((rows, cols), np.float32)
    for p in range(bits):
        values = values + np.where(planes[:, p] == 1, scales[..., p], -scales[..., p])
    return values


def decode_block_shift(group, rows, cols):
    bits, size, scale_bits = (int(group.attrs[key]) for key in ("num_bits", "block_size", "scale_bits"))
    blocks = -(-cols // size)
    if scale_bits == 16:
        scales = group["scales"][()].astype(np.float32)
    else:
        shifts = group["shifts"][()].astype(np.int32)
        if scale_bits == 6:
            shifts = int(group.attrs["shift_base"]) + unpack(group["shifts"], 1, rows * blocks, 6)
        scales = np.ldexp(np.float32(1), -shifts.reshape(rows, blocks))
    codes = unpack(group["codes"], rows, cols, bits) - (1 << (bits - 1))
    return np.repeat(scales, size, axis=1)[:, :cols] * codes.astype(np.float32)


def decode(group):
    shape = [int(n) for n in text(group.attrs["shape"]).split(",")]
    encoding = text(group.attrs["encoding"])
    if encoding == "dense":
        return floats(group["values"]).reshape(shape)
    if encoding == "zeros":
        return np.zeros(shape, np.float32)
    if encoding in ("split", "low_rank"):
        pieces = [decode(group[str(i)]) for i in range(len(group))]
        if encoding == "split":
            return np.concatenate(pieces, axis=int(group.attrs["axis"]))
        left, right = (piece.astype(np.float64) for piece in pieces)
        return (left @ right).astype(np.float32)
    rows, cols = int(np.prod(shape[:-1])), shape[-1]
    if encoding == "nm":
        return decode_nm(group, rows, cols).reshape(shape)
    if encoding == "bcq":
        return decode_bcq(group, rows, cols).reshape(shape)
    if encoding == "block_shift":
        return decode_block_shift(group, rows, cols).reshape(shape)
    bits, size = int(group.attrs["num_bits"]), int(group.attrs["group_size"])
    codes = unpack(group["codes"], rows, cols, bits)
    scales = np.repeat(group["scales"][()].astype(np.float32), size, axis=1)[:, :cols]
    zeros = 1 << (bits - 1) if group.attrs["symmetric"] else np.repeat(group["zeros"][()], size, axis=1)[:, :cols]
    return (scales * (codes.astype(np.int32) - zeros).astype(np.float32)).reshape(shape)


with h5py.File(sys.argv[1] + "/checkpoint.h5") as checkpoint:
    tensor = decode(find(checkpoint, sys.argv[2]))
print(tensor.shape, "mean", tensor.mean(), "first bits", f"{tensor.astype(np.float16).view(np.uint16).flat[0]:04x}")
