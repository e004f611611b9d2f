#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "lib/encoding/encoded_tensor.hpp"

namespace lathe::gguf {

/// Types of tensors in a GGUF file, with ggml's numbers.
enum class Type : std::uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q5_0 = 6,
    q5_1 = 7,
    q8_0 = 8,
    q2_k = 10,
    q3_k = 11,
    q4_k = 12,
    q5_k = 13,
    q6_k = 14,
    bf16 = 30,
    q1_0 = 41,
    q2_0 = 42,
};

/// How a type stores a row: `elements` columns in `bytes` bytes.
struct Block {
    std::size_t elements = 1;
    std::size_t bytes = 4;
};
[[nodiscard]] Block block_of(Type type);

/// The type with the fewest bits that has the values of an encoded tensor bit for bit, given the
/// columns of its rows; none if no type has. Columns must fill whole blocks, and a block lie inside
/// a group of columns that share a scale; then it repeats that scale. The last group may be short.
/// Looks at encoding, settings and shape only.
///
///   integer, symmetric   2 bits  Q2_0, Q2_K; 3 bits  Q3_K; 2 to 4 bits  Q4_0; 5 bits  Q5_0;
///                        6 bits  Q6_K; 6 to 8 bits  Q8_0
///   integer, asymmetric  2 bits  Q2_K; 2, 3 bits  Q4_0; 4 bits  Q4_K, Q5_0; 5 bits  Q5_K;
///                        5 to 7 bits  Q8_0; 8 bits  none: code - zero takes 9
///   the same with scales of one byte (`float8_scales`), whose products with zeros fit into fp16:
///                        4 bits  Q4_1; 5 bits  Q5_1
///   bcq of one plane     Q1_0, then as integer
///
/// and what to_integer() makes of other encodings. Source: ggml/src/ggml-common.h and
/// ggml-quants.c of llama.cpp.
[[nodiscard]] std::optional<Type> exact_type(const EncodedTensor& tensor);

/// The blocks of the rows in this order (empty: as they stand).
/// @pre  exact_type(tensor) is `type`
[[nodiscard]] std::vector<std::byte> pack_blocks(const EncodedTensor& tensor, Type type,
                                                 std::span<const std::uint32_t> row_order);

}  // namespace lathe::gguf
