#pragma once

#include <string>
#include <string_view>

#include "lib/tokenizer/tokenizer.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lathe::fuzz {

/// A short text whatever the tokenizer: words, numbers, other scripts, special tokens, what is no
/// UTF-8.
inline constexpr std::string_view some_text =
    "Hello, world!  It's 2024\n\tna\xC3\xAFve \xE4\xB8\xAD\xE6\x96\x87 <s>[MASK]</s> \xFF end ";

/// Text to ids and back, alone and in pairs.
inline void use(const Tokenizer& tokenizer, std::string_view text) {
    const std::vector<std::uint32_t> ids = tokenizer.encode(text, true);
    for (const std::uint32_t id : ids) {
        require(id < tokenizer.id_limit(), "an id below the limit");
    }
    refuse_or([&] { (void)tokenizer.decode(ids); });
    refuse_or([&] {
        require(tokenizer.encode_within(text, 8).ids.size() <= 8, "no more tokens than asked for");
        const EncodedText pair = tokenizer.encode_pair(text, "second", 16);
        require(pair.ids.size() <= 16 && pair.segments.size() == pair.ids.size(),
                "a segment for each token of a pair");
    });
}

}  // namespace lathe::fuzz
