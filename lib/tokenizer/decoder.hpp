#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/tokenizer/json_place.hpp"

namespace lathe::tokenizer {

/// Turns tokens back into text: each step rewrites the list, and what is left is joined.
class Decoder {
public:
    virtual ~Decoder() = default;
    virtual void apply(std::vector<std::string>& tokens) const = 0;
};

/// `place` is the "decoder" of a tokenizer file; null stands for one that puts spaces between the
/// tokens. @throws DataError
[[nodiscard]] std::unique_ptr<Decoder> read_decoder(const JsonPlace& place);

}  // namespace lathe::tokenizer
