#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/core/dtype.hpp"
#include "workers/exports/gguf/blocks.hpp"

namespace lathe::gguf {

/// A value of a key. Bytes are bools and integers of their own width: u32, i32, f32, bool, text,
/// and lists of i32, f32 and text.
using Value = std::variant<std::uint32_t, float, bool, std::string, std::vector<std::int32_t>,
                           std::vector<float>, std::vector<std::string>>;

struct Key {
    std::string name;
    Value value;
};

/// A tensor of the file. `offset`: from where the data begin, a multiple of alignment.
struct Tensor {
    std::string name;
    Type type = Type::f32;
    Shape shape;  ///< outermost first
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
};

inline constexpr std::uint64_t alignment = 32;

[[nodiscard]] constexpr std::uint64_t aligned(std::uint64_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
}

/// What stands before the data: magic number, version 3, counts, keys, the table of tensors, filled
/// up to `alignment`. Source: ggml/include/gguf.h of llama.cpp.
[[nodiscard]] std::string header(const std::vector<Key>& keys, const std::vector<Tensor>& tensors);

}  // namespace lathe::gguf
