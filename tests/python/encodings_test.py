"""Encodings of the Python package against the format's examples and its formulas, an element at a time."""
import support
import numpy as np
from lathe_checkpoint import CheckpointError, EncodedTensor, Part, Place, decode
from lathe_checkpoint.bits import unpack

RANDOM = np.random.default_rng(5)
PLACE = Place("a file", "a tensor")
F = np.float32


def words(*values):
    return Part("uint32", np.array(values, np.uint32).reshape(1, -1))


def scales(*values):
    return Part("float16", np.array(values, np.float16).reshape(1, -1))


def bit(row, n):
    return int(row[n // 32]) >> (n % 32) & 1


def codes_by_bits(row, count, bits):
    return [sum(bit(row, j * bits + b) << b for b in range(bits)) for j in range(count)]


def examples_of_the_format():
    assert unpack(words(0x40000047, 0x0000000D).array, 12, 3).tolist() == [[7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 6]]
    sparse = EncodedTensor("nm", (12,), {"n": 2, "m": 4, "num_bits": 0, "group_size": 0, "binary": 0},
                           {"meta": words(0xC84), "values": Part("float32", np.arange(1, 7, dtype=F).reshape(1, -1))})
    assert decode(sparse, PLACE).tolist() == [1, 2, 0, 0, 3, 0, 4, 0, 5, 0, 0, 6]
    coded = EncodedTensor("bcq", (33,), {"num_bits": 2, "group_size": 33, "uniform": 0, "offset": 0},
                          {"planes": Part("uint32", np.array([[[5, 1], [6, 1]]], np.uint32)),
                           "scales": Part("float16", np.array([[[2, 0.5]]], np.float16))})
    assert decode(coded, PLACE).tolist() == [1.5, -1.5, 2.5] + [-2.5] * 29 + [2.5]


def integers_by_the_formula():
    for bits in range(2, 9):
        for cols, size in ((1, 1), (31, 8), (33, 64), (70, 9)):
            for symmetric in (True, False):
                tensor = support.integer(RANDOM, (3, cols), bits, size, symmetric)
                found = decode(tensor, PLACE)
                for i in range(3):
                    codes = codes_by_bits(tensor.parts["codes"].array[i], cols, bits)
                    for j, code in enumerate(codes):
                        zero = 1 << (bits - 1) if symmetric else int(tensor.parts["zeros"].array[i, j // size])
                        scale = F(tensor.parts["scales"].array[i, j // size])
                        assert found[i, j] == scale * F(code - zero), (bits, cols, size, i, j)


def scales_of_one_byte_by_the_formula():
    for bits in range(2, 9):
        for cols, size in ((1, 1), (31, 8), (70, 9)):
            for symmetric in (True, False):
                tensor = support.integer(RANDOM, (3, cols), bits, size, symmetric, float8=True)
                groups = -(-cols // size)
                scales = tensor.parts["scales"].array
                halves = Part("float16", np.ldexp(1 + scales % 16 / 16, scales.astype(int) // 16 - 14).astype(np.float16))
                parts = tensor.parts | {"scales": halves}
                if not symmetric:
                    rows = [codes_by_bits(row, groups, bits) for row in tensor.parts["zeros"].array]
                    parts["zeros"] = Part("uint8", np.array(rows, np.uint8))
                plain = EncodedTensor("integer", (3, cols), {k: v for k, v in tensor.settings.items() if k != "float8_scales"}, parts)
                assert np.array_equal(decode(tensor, PLACE), decode(plain, PLACE)), (bits, cols, size, symmetric)


def uniform_codes_are_what_integers_are():
    for bits in range(2, 9):
        integer = support.integer(RANDOM, (4, 45), bits, 11, False)
        codes = unpack(integer.parts["codes"].array, 45, bits)
        planes = np.stack([support.packed(codes >> p & 1, 1).array for p in range(bits)], axis=1)
        same = EncodedTensor("bcq", (4, 45), {"num_bits": bits, "group_size": 11, "uniform": 1, "offset": 1},
                             {"planes": Part("uint32", planes), "scales": integer.parts["scales"], "zeros": integer.parts["zeros"]})
        assert np.array_equal(decode(same, PLACE), decode(integer, PLACE))


def blocks_by_the_formula():
    for bits, size, scale_bits in ((2, 3, 6), (5, 16, 8), (8, 50, 16)):
        tensor = support.block_shift(RANDOM, (3, 37), bits, size, scale_bits)
        found, blocks = decode(tensor, PLACE), -(-37 // size)
        for i in range(3):
            codes = codes_by_bits(tensor.parts["codes"].array[i], 37, bits)
            for j, code in enumerate(codes):
                if scale_bits == 16:
                    scale = float(tensor.parts["scales"].array[i, j // size])
                elif scale_bits == 8:
                    scale = 2.0 ** -int(tensor.parts["shifts"].array[i, j // size])
                else:
                    shifts = codes_by_bits(tensor.parts["shifts"].array[0], 3 * blocks, 6)
                    scale = 2.0 ** -(shifts[i * blocks + j // size] - 3)
                assert found[i, j] == (code - 2 ** (bits - 1)) * scale, (bits, i, j)


def products_are_summed_in_order():
    tensor = support.joined("low_rank", (5, 9), {}, (support.dense(RANDOM, (5, 4)), support.dense(RANDOM, (4, 9))))
    left, right = (decode(piece, PLACE) for piece in tensor.pieces)
    found = decode(tensor, PLACE)
    for i in range(5):
        for j in range(9):
            total = 0.0
            for k in range(4):
                total += float(left[i, k]) * float(right[k, j])
            assert found[i, j] == F(total)


def shapes_of_all_kinds():
    assert decode(support.dense(RANDOM, ()), PLACE).shape == ()
    assert decode(support.dense(RANDOM, (0, 5)), PLACE).shape == (0, 5)
    assert decode(support.integer(RANDOM, (2, 3, 5), 4, 2, True), PLACE).shape == (2, 3, 5)
    assert decode(support.joined("zeros", (3, 0), {}, ()), PLACE).shape == (3, 0)
    assert decode(support.integer(RANDOM, (4, 7), 4, (1 << 63) - 1, True), PLACE).shape == (4, 7)
    wide = support.dense(RANDOM, (3, 600_000))  # more than is decoded at once
    assert np.array_equal(decode(wide, PLACE), wide.parts["values"].array)


def refused(tensor, *expected):
    try:
        decode(tensor, PLACE)
    except CheckpointError as error:
        assert error.file == "a file" and (error.tensor or "").startswith("a tensor"), (error.file, error.tensor)
        assert all(word in str(error) for word in expected), (str(error), expected)
        return
    raise AssertionError(f"not refused: {expected}")


def changed(tensor, part=None, array=None, dtype=None, **settings):
    parts = dict(tensor.parts)
    if part:
        parts[part] = Part(dtype or parts[part].dtype, parts[part].array if array is None else array)
    return EncodedTensor(tensor.encoding, tensor.shape, tensor.settings | settings, parts, tensor.pieces)


def what_an_encoding_does_not_allow():
    integer = support.integer(RANDOM, (2, 9), 3, 4, False)
    refused(changed(integer, num_bits=9), "num_bits", "9", "2 to 8")
    refused(changed(integer, group_size=0), "group_size", "1 or more")
    refused(changed(integer, group_size=5), "scales", "[2, 2]")
    refused(changed(integer, colour=1), "settings", "colour")
    refused(EncodedTensor("integer", (2, 9), {"num_bits": 3}, integer.parts), "no setting 'group_size'")
    refused(changed(integer, "codes", integer.parts["codes"].array | np.uint32(1 << 31)), "behind the last symbol", "row 0")
    refused(changed(integer, "scales", np.full((2, 3), np.inf, np.float16)), "scales", "finite")
    refused(changed(integer, "zeros", np.full((2, 3), 8, np.uint8)), "zeros", "8", "at most 7")
    refused(changed(integer, "codes", dtype="int32"), "int32", "uint32")
    refused(changed(integer, "zeros", symmetric=1), "parts", "codes, scales")
    sparse = support.nm(RANDOM, (2, 8), 2, 4, 0, 0)
    refused(changed(sparse, "meta", np.array([[0x84], [0x11]], np.uint32)), "meta", "group 0 of row 1")
    refused(changed(sparse, n=3), "values", "[2, 6]")
    refused(changed(sparse, m=3), "does not divide")
    refused(changed(sparse, group_size=4), "no groups of scales")
    refused(changed(support.nm(RANDOM, (2, 8), 2, 4, 3, 4), binary=1, num_bits=5), "1 to 4")
    mask = support.nm(RANDOM, (1, 8), 3, 4, 0, 0)
    refused(changed(mask, "meta", np.array([[0x77 | 8]], np.uint32)), "3 ascending columns of 4")
    coded = support.bcq(RANDOM, (2, 9), 2, 4, False, True)
    refused(changed(coded, uniform=1), "parts", "zeros")
    refused(changed(coded, "planes", coded.parts["planes"].array | np.uint32(1 << 9)), "planes", "behind")
    block = support.block_shift(RANDOM, (2, 9), 4, 4, 8)
    refused(changed(block, scale_bits=7), "scale_bits", "6, 8 or 16")
    refused(changed(block, "codes", np.zeros((2, 2), np.uint32)), "code 0")
    refused(changed(block, "shifts", np.full((2, 3), -128, np.int8)), "-128")
    refused(changed(support.block_shift(RANDOM, (2, 9), 4, 4, 6), shift_base=127), "above 127")
    refused(support.tensor("dense", (2, 3), {}, {"values": Part("float64", np.zeros((2, 3)))}), "float64")
    refused(support.tensor("dense", (3, 2), {}, {"values": Part("float32", np.zeros((2, 3), F))}), "[3, 2]")
    refused(support.tensor("gzip", (3, 2), {}, {}), "unknown encoding", "block_shift")
    refused(support.joined("zeros", (1 << 62, 1 << 62), {}, ()), "larger than any tensor")
    whole = support.dense(RANDOM, (2, 3))
    refused(support.joined("split", (5, 3), {"axis": 0}, (whole, whole)), "fill 4", "5")
    refused(support.joined("split", (4, 3), {"axis": 2}, (whole, whole)), "axis")
    refused(support.joined("split", (4, 3), {"axis": 0}, ()), "0 pieces")
    inner = support.joined("split", (2, 3), {"axis": 0}, (whole,))
    refused(support.joined("split", (2, 3), {"axis": 0}, (inner,)), "does not fit")
    refused(support.joined("low_rank", (2, 2), {}, (whole, whole)), "do not make")
    refused(support.joined("low_rank", (2, 3), {}, (inner, inner)), "itself made of pieces")
    refused(EncodedTensor("dense", (2, 3), {}, whole.parts, (whole,)), "has pieces")


support.main([examples_of_the_format, integers_by_the_formula, scales_of_one_byte_by_the_formula, uniform_codes_are_what_integers_are, blocks_by_the_formula,
              products_are_summed_in_order, shapes_of_all_kinds, what_an_encoding_does_not_allow])
