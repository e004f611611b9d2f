#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/tokenizer/vocabulary.hpp"

namespace lathe::tokenizer {

/// "<0xE2>": the token of a byte in vocabularies that fall back to bytes.
[[nodiscard]] std::string byte_token(unsigned byte);

/// Appends the tokens of all bytes of `text`; false, and nothing, if the vocabulary lacks one.
[[nodiscard]] bool append_byte_tokens(const Vocabulary& vocabulary, std::string_view text,
                                      std::vector<std::uint32_t>& ids);

}  // namespace lathe::tokenizer
