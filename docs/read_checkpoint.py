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


def decode(group):
    shape = [int(n) for n in text(group.attrs["shape"]).split(",")]
    if text(group.attrs["encoding"]) == "dense":
        values = group["values"]
        if text(values.attrs["dtype"]) == "bfloat16":
            return (values[()].astype(np.uint32) << 16).view(np.float32).reshape(shape)
        return values[()].astype(np.float32).reshape(shape)
    bits, size = int(group.attrs["num_bits"]), int(group.attrs["group_size"])
    rows, cols = int(np.prod(shape[:-1])), shape[-1]
    words = group["codes"][()].astype("<u4").reshape(rows, -1)
    stream = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, :cols * bits]
    codes = stream.reshape(rows, cols, bits) @ (1 << np.arange(bits))
    scales = np.repeat(group["scales"][()].astype(np.float32), size, axis=1)[:, :cols]
    zeros = 1 << (bits - 1) if group.attrs["symmetric"] else np.repeat(group["zeros"][()], size, axis=1)[:, :cols]
    return (scales * (codes.astype(np.int32) - zeros).astype(np.float32)).reshape(shape)


with h5py.File(sys.argv[1] + "/checkpoint.h5") as checkpoint:
    tensor = decode(find(checkpoint, sys.argv[2]))
print(tensor.shape, "mean", tensor.mean(), "first bits", f"{tensor.astype(np.float16).view(np.uint16).flat[0]:04x}")
