#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/tokenizer/tokenizer.hpp"

namespace lathe {

/// Turns tokens into text as they come. What a token means depends on those before it (a space at
/// the beginning, a character of several bytes), so some are decoded again with each new one, and
/// text is held back while it ends in an incomplete character.
class TextStream {
public:
    /// The text continues `context`, which is not repeated. @pre `tokenizer` outlives the object
    TextStream(const Tokenizer& tokenizer, std::span<const std::uint32_t> context);

    /// The text that this token completes; may be empty. @throws DataError  unknown id
    [[nodiscard]] std::string add(std::uint32_t id);
    /// What was held back.
    [[nodiscard]] std::string finish();

private:
    [[nodiscard]] std::string decode(std::size_t end) const;
    [[nodiscard]] std::string take(const std::string& text);

    const Tokenizer& tokenizer_;
    std::vector<std::uint32_t> ids_;
    std::size_t window_begin_ = 0;  ///< of the tokens that are decoded again
    std::size_t told_end_;          ///< behind the tokens whose text has been told
};

}  // namespace lathe
