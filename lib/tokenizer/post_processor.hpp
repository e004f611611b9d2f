#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lib/tokenizer/json_place.hpp"

namespace lathe::tokenizer {

/// Puts a model's special tokens around the ids of a text.
class PostProcessor {
public:
    virtual ~PostProcessor() = default;
    /// Only called when special tokens are wanted.
    virtual void apply(std::vector<std::uint32_t>& ids) const = 0;
};

/// `place` is the "post_processor" of a tokenizer file; null stands for one that adds nothing.
/// @throws DataError
[[nodiscard]] std::unique_ptr<PostProcessor> read_post_processor(const JsonPlace& place);

}  // namespace lathe::tokenizer
