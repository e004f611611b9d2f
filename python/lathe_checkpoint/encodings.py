"""What stored tensors stand for: docs/file_format.md, "Encodings", in code.

Every encoding checks its settings and parts as strictly as the C++ reader does, and gives the same float32 numbers
bit for bit. Encodings of rows that stand for themselves are decoded some rows at a time, so that a large embedding
needs little memory beside its values.
"""
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .bits import check_tails, check_words, unpack, words_per_row
from .errors import Place
from .tensor import INT64_MAX, Array, EncodedTensor, Floats, as_float32

FLOATING = ("float32", "float16", "bfloat16")
MOST_PIECE_DEPTH = 2
#: Elements decoded at once; of a product, so few that sums stay in the processor's cache.
BLOCK_ELEMENTS = 1 << 20
PRODUCT_ELEMENTS = 1 << 15

#: Decodes rows of a tensor that was checked.
Rows = Callable[[slice], Floats]


def decode(tensor: EncodedTensor, place: Place) -> Floats:
    """The values that a tensor stands for.

    Args:
        tensor: as read from a file; nothing about it is taken for granted.
        place: begins the errors.

    Returns:
        float32, in the tensor's shape, C order.

    Raises:
        CheckpointError: what the encoding does not allow.
    """
    return _decode(tensor, place, 0)


def encodings() -> list[str]:
    """The names of all encodings that decode() knows."""
    return sorted([*_BY_ROWS, *_OF_PIECES, "zeros"])


def _decode(tensor: EncodedTensor, place: Place, depth: int) -> Floats:
    # As lib/encoding/encoded_tensor.cpp has it: an extent of 0 counts as 1.
    place.require(math.prod(max(1, n) for n in tensor.shape) * 8 < 1 << 64, f"shape {list(tensor.shape)} is larger than any tensor")
    try:
        if tensor.encoding in _OF_PIECES:
            place.require(depth < MOST_PIECE_DEPTH, f"encoding '{tensor.encoding}' stands within others, which it may not")
            return _OF_PIECES[tensor.encoding](tensor, place, depth)
        place.require(not tensor.pieces, f"encoding '{tensor.encoding}' has pieces, which it may not")
        if tensor.encoding == "zeros":
            tensor.check_names(set(), set(), place)
            return np.zeros(tensor.shape, np.float32)
        if tensor.encoding not in _BY_ROWS:
            place.fail(f"unknown encoding '{tensor.encoding}'", "one of " + ", ".join(encodings()))
        rows, cols = tensor.matrix_shape
        decode_rows = _BY_ROWS[tensor.encoding](tensor, place, rows, cols)
        values = np.empty((rows, cols), np.float32)
        step = max(1, BLOCK_ELEMENTS // max(1, cols))
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # as the C++ reader computes
            for begin in range(0, rows, step):
                values[begin:begin + step] = decode_rows(slice(begin, begin + step))
        return values.reshape(tensor.shape)
    except (MemoryError, OverflowError):
        place.fail(f"shape {list(tensor.shape)} does not fit into memory")


def _groups(cols: int, size: int) -> tuple[int, Array]:
    """How many groups of columns a row has; the group of each column."""
    return -(-cols // size), np.arange(cols, dtype=np.int64) // size


def _dense(tensor: EncodedTensor, place: Place, rows: int, cols: int) -> Rows:
    tensor.check_names(set(), {"values"}, place)
    part = tensor.parts["values"]
    place.require(part.dtype in FLOATING, f"part 'values' has type {part.dtype}", " or ".join(FLOATING))
    tensor.check_part("values", part.dtype, tensor.shape, place)
    values = as_float32(part).reshape(rows, cols)
    return lambda block: values[block]


def _float8(codes: Array) -> Array:
    """Numbers of four bits of exponent and four of fraction as float16: normal ones, from 2^-14."""
    return ((codes.astype(np.uint16) << np.uint16(6)) + np.uint16(1 << 10)).view(np.float16)


def _integer(tensor: EncodedTensor, place: Place, rows: int, cols: int) -> Rows:
    bits = tensor.setting("num_bits", 2, 8, place)
    groups, group = _groups(cols, tensor.setting("group_size", 1, INT64_MAX, place))
    symmetric = tensor.setting("symmetric", 0, 1, place)
    float8 = {"float8_scales"} & set(tensor.settings)
    if float8:
        tensor.setting("float8_scales", 1, 1, place)
    tensor.check_names({"num_bits", "group_size", "symmetric"} | float8,
                       {"codes", "scales"} | (set() if symmetric else {"zeros"}), place)
    codes = check_words(tensor, "codes", rows, cols, bits, place)
    if float8:
        scales = _float8(tensor.check_part("scales", "uint8", (rows, groups), place))
    else:
        scales = tensor.check_halves("scales", (rows, groups), place)
    if symmetric:
        zeros: Array = np.full((rows, groups), 1 << (bits - 1), np.int16)
    elif float8:
        zeros = unpack(check_words(tensor, "zeros", rows, groups, bits, place), groups, bits).astype(np.int16)
    else:
        zeros = tensor.check_zeros("zeros", (rows, groups), (1 << bits) - 1, place).astype(np.int16)

    def decode_rows(block: slice) -> Floats:
        difference = unpack(codes[block], cols, bits).astype(np.int16) - zeros[block][:, group]
        return scales[block].astype(np.float32)[:, group] * difference.astype(np.float32)
    return decode_rows


def _sum_of_signs(codes: Array, scales: Floats, start: Floats) -> Floats:
    """start + sum over planes p of +-scales[..., p] by bit p of codes, added up in float32 in this order."""
    values = start
    for p in range(scales.shape[-1]):
        values = values + np.where(codes >> np.uint8(p) & np.uint8(1), scales[..., p], -scales[..., p])
    return values


def _places(tensor: EncodedTensor, place: Place, rows: int, cols: int, n: int, m: int) -> Callable[[slice], Array]:
    """Which columns of rows are stored: bool [rows, cols], n of each m."""
    by_index = m == 4 and n <= 2
    symbols, bits = (cols // m * n, 2) if by_index else (cols, 1)
    meta = check_words(tensor, "meta", rows, symbols, bits, place)

    def places_of(block: slice) -> Array:
        found = unpack(meta[block], symbols, bits)
        if by_index:
            indices = found.reshape(len(found), -1, n)
            good = np.all(indices[..., 1:] > indices[..., :-1], axis=2)
            kept: Array = (indices[..., None] == np.arange(m, dtype=np.uint8)).any(axis=2)
        else:
            kept = found.reshape(len(found), -1, m).astype(bool)
            good = kept.sum(axis=2) == n
        bad = np.argwhere(~good)
        if len(bad):
            place.fail(f"part 'meta' does not name {n} ascending columns of {m} in group {bad[0][1]} of row "
                       f"{block.start + bad[0][0]}")
        return kept.reshape(len(found), cols)
    return places_of


def _nm(tensor: EncodedTensor, place: Place, rows: int, cols: int) -> Rows:
    m = tensor.setting("m", 1, 64, place)
    n = tensor.setting("n", 1, m, place)
    bits = tensor.setting("num_bits", 0, 8, place)
    size = tensor.setting("group_size", 0, INT64_MAX, place)
    binary = tensor.setting("binary", 0, 1, place)
    place.require(cols % m == 0, f"pattern {n}:{m} does not divide rows of {cols} columns")
    tensor.check_names({"n", "m", "num_bits", "group_size", "binary"}, {"meta"} | ({"codes", "scales"} if bits else {"values"}),
                       place)
    stored = cols // m * n
    places = _places(tensor, place, rows, cols, n, m)

    def scattered(block: slice, kept: Floats) -> Floats:
        where = places(block)
        values = np.zeros(where.shape, np.float32)
        values[where] = kept.ravel()
        return values

    if bits == 0:
        place.require(size == 0 and not binary, "floating values have no groups of scales", "group_size 0 and binary 0")
        part = tensor.parts["values"]
        place.require(part.dtype in FLOATING, f"part 'values' has type {part.dtype}", " or ".join(FLOATING))
        tensor.check_part("values", part.dtype, (rows, stored), place)
        kept = as_float32(part)
        return lambda block: scattered(block, kept[block])

    fewest, most = (1, 4) if binary else (2, 8)
    tensor.setting("num_bits", fewest, most, place)
    place.require(size > 0 and size % m == 0, f"group_size is {size}", f"a multiple of the {m} columns of pattern {n}:{m}")
    codes = check_words(tensor, "codes", rows, stored, bits, place)
    groups = -(-cols // size)
    scales = tensor.check_halves("scales", (rows, groups, bits) if binary else (rows, groups), place)
    group = np.arange(stored, dtype=np.int64) // (size // m * n)

    def decode_rows(block: slice) -> Floats:
        symbols = unpack(codes[block], stored, bits)
        own = scales[block].astype(np.float32)[:, group]
        if binary:
            return scattered(block, _sum_of_signs(symbols, own, np.zeros(symbols.shape, np.float32)))
        return scattered(block, own * (symbols.astype(np.int16) - (1 << (bits - 1))).astype(np.float32))
    return decode_rows


def _bcq(tensor: EncodedTensor, place: Place, rows: int, cols: int) -> Rows:
    bits = tensor.setting("num_bits", 1, 8, place)
    groups, group = _groups(cols, tensor.setting("group_size", 1, INT64_MAX, place))
    uniform = tensor.setting("uniform", 0, 1, place)
    offset = tensor.setting("offset", 0, 1, place)
    third = ("zeros" if uniform else "offsets") if offset else ""
    tensor.check_names({"num_bits", "group_size", "uniform", "offset"}, {"planes", "scales"} | ({third} if third else set()),
                       place)
    planes = tensor.check_part("planes", "uint32", (rows, bits, words_per_row(cols, 1)), place)
    check_tails(planes, "planes", cols, place)
    scales = tensor.check_halves("scales", (rows, groups) if uniform else (rows, groups, bits), place)
    start = np.full((rows, groups), 1 << (bits - 1) if uniform else 0, np.float32)
    if third == "zeros":
        start = tensor.check_zeros(third, (rows, groups), (1 << bits) - 1, place).astype(np.float32)
    elif third:
        start = tensor.check_halves(third, (rows, groups), place).astype(np.float32)

    def decode_rows(block: slice) -> Floats:
        words = planes[block]
        symbols = unpack(words.reshape(-1, words.shape[2]), cols, 1).reshape(len(words), bits, cols)
        codes = np.zeros((len(words), cols), np.uint8)
        for p in range(bits):
            codes |= symbols[:, p] << np.uint8(p)
        own, begin = scales[block].astype(np.float32)[:, group], start[block][:, group]
        return own * (codes.astype(np.float32) - begin) if uniform else _sum_of_signs(codes, own, begin)
    return decode_rows


def _block_scales(tensor: EncodedTensor, place: Place, rows: int, blocks: int, scale_bits: int) -> Floats:
    if scale_bits == 16:
        return tensor.check_halves("scales", (rows, blocks), place).astype(np.float32)
    if scale_bits == 6:
        base = tensor.setting("shift_base", -127, 127, place)
        words = check_words(tensor, "shifts", 1, rows * blocks, 6, place)
        shifts = base + unpack(words, rows * blocks, 6).reshape(rows, blocks).astype(np.int32)
        place.require(bool((shifts <= 127).all()), "a shift is above 127")
    else:
        shifts = tensor.check_part("shifts", "int8", (rows, blocks), place).astype(np.int32)
        place.require(bool((shifts >= -127).all()), "a shift is -128", "-127 or more")
    return np.ldexp(np.float32(1), -shifts).astype(np.float32)


def _block_shift(tensor: EncodedTensor, place: Place, rows: int, cols: int) -> Rows:
    scale_bits = tensor.setting("scale_bits", 6, 16, place)
    place.require(scale_bits in (6, 8, 16), f"setting 'scale_bits' is {scale_bits}", "6, 8 or 16")
    bits = tensor.setting("num_bits", 2, 8, place)
    blocks, block_of = _groups(cols, tensor.setting("block_size", 1, INT64_MAX, place))
    tensor.check_names({"num_bits", "block_size", "scale_bits"} | ({"shift_base"} if scale_bits == 6 else set()),
                       {"codes", "scales" if scale_bits == 16 else "shifts"}, place)
    codes = check_words(tensor, "codes", rows, cols, bits, place)
    scales = _block_scales(tensor, place, rows, blocks, scale_bits)

    def decode_rows(block: slice) -> Floats:
        symbols = unpack(codes[block], cols, bits)
        zeros = np.argwhere(symbols == 0)
        if len(zeros):
            place.fail(f"row {block.start + zeros[0][0]} of part 'codes' has a code 0", "1 or more")
        return (symbols.astype(np.int16) - (1 << (bits - 1))).astype(np.float32) * scales[block][:, block_of]
    return decode_rows


def _split(tensor: EncodedTensor, place: Place, depth: int) -> Floats:
    axis = tensor.setting("axis", 0, 1, place)
    tensor.check_names({"axis"}, set(), place)
    place.require(len(tensor.shape) == 2 and bool(tensor.pieces), f"encoding 'split' of shape {list(tensor.shape)} has "
                  f"{len(tensor.pieces)} pieces", "a matrix and at least 1")
    for i, piece in enumerate(tensor.pieces):
        place.require(piece.encoding != "split" and len(piece.shape) == 2 and piece.shape[axis] > 0
                      and piece.shape[1 - axis] == tensor.shape[1 - axis],
                      f"piece {i} in encoding '{piece.encoding}' of shape {list(piece.shape)} does not fit into {list(tensor.shape)}")
    filled = sum(piece.shape[axis] for piece in tensor.pieces)
    place.require(filled == tensor.shape[axis], f"the pieces fill {filled} along axis {axis}", str(tensor.shape[axis]))
    return np.concatenate([_decode(p, place.within(str(i)), depth + 1) for i, p in enumerate(tensor.pieces)], axis=axis)


def _low_rank(tensor: EncodedTensor, place: Place, depth: int) -> Floats:
    tensor.check_names(set(), set(), place)
    place.require(len(tensor.pieces) == 2, f"encoding 'low_rank' has {len(tensor.pieces)} pieces", "2")
    shapes = [piece.shape for piece in tensor.pieces]
    place.require(not any(piece.pieces for piece in tensor.pieces), "a factor of encoding 'low_rank' is itself made of pieces")
    place.require(all(len(shape) == 2 for shape in shapes) and shapes[0][1] == shapes[1][0]
                  and tensor.shape == (shapes[0][0], shapes[1][1]) and 0 < shapes[0][1] <= min(tensor.shape),
                  f"factors of shapes {list(shapes[0])} and {list(shapes[1])} do not make a matrix {list(tensor.shape)}")
    left, right = (_decode(p, place.within(str(i)), depth + 1).astype(np.float64) for i, p in enumerate(tensor.pieces))
    values = np.empty(tensor.shape, np.float32)
    step = max(1, PRODUCT_ELEMENTS // max(1, tensor.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, tensor.shape[0], step):
            rows = left[begin:begin + step]
            # In order of k, as the format says; another order may have other last bits.
            sums = np.zeros((len(rows), tensor.shape[1]))
            for k in range(left.shape[1]):
                sums += rows[:, k, None] * right[k]
            values[begin:begin + step] = sums
    return values


_BY_ROWS: dict[str, Callable[[EncodedTensor, Place, int, int], Rows]] = {
    "dense": _dense, "integer": _integer, "nm": _nm, "bcq": _bcq, "block_shift": _block_shift}
_OF_PIECES: dict[str, Callable[[EncodedTensor, Place, int], Floats]] = {"split": _split, "low_rank": _low_rank}
