#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "lib/encoding/integer.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {

/// A directory of its own, removed at the end.
class ScratchFolder {
public:
    ScratchFolder();
    ~ScratchFolder();
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
        return path_ / name;
    }

private:
    std::filesystem::path path_;
};

/// A tiny untied Llama: hidden 96, 4 heads of 24, 2 of keys, 160 neurons, 2 blocks, 50 tokens.
/// Rows of k fill no words at most widths.
[[nodiscard]] std::string small_config();

using Encode = std::function<EncodedTensor(const TensorSpec&)>;

/// Writes a compressed checkpoint of small_config() with these tensors (those of units; others are
/// dense), a tokenizer_config.json of transformers 5 and a chat template.
void write_checkpoint(const std::filesystem::path& directory, const Encode& encode,
                      const std::string& config = small_config());

/// Random content under an encoding's settings, the same for the same seed.
[[nodiscard]] EncodedTensor random_dense(const Shape& shape, DType dtype, unsigned seed);
[[nodiscard]] EncodedTensor random_integer(const Shape& shape, const IntegerLayout& layout,
                                           unsigned seed);
[[nodiscard]] EncodedTensor random_integer(const Shape& shape, unsigned num_bits,
                                           std::size_t group_size, bool symmetric, unsigned seed);
[[nodiscard]] EncodedTensor random_bcq(const Shape& shape, unsigned planes, std::size_t group_size,
                                       bool uniform, bool offset, unsigned seed);
/// 2:4; num_bits 0: fp16 values.
[[nodiscard]] EncodedTensor random_nm(const Shape& shape, unsigned num_bits, std::size_t group_size,
                                      bool binary, unsigned seed);

}  // namespace lathe
