#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lathe::gguf {

/// Elements and bytes of a block of a ggml type, by its number; 0 elements: a type not read here.
struct BlockSize {
    std::size_t elements = 0;
    std::size_t bytes = 0;
};
[[nodiscard]] BlockSize block_size(std::uint32_t type);

/// What blocks of the type stand for, in the order and rounding of ggml's dequantize_row_*().
/// @pre  `bytes` are whole blocks of a type with a block_size()
[[nodiscard]] std::vector<float> dequantise(std::uint32_t type, std::span<const std::byte> bytes);

}  // namespace lathe::gguf
