#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "lib/tokenizer/json_place.hpp"
#include "lib/tokenizer/tokenizer.hpp"

namespace lathe::tokenizer {

/// Where special tokens stand among the tokens of one text, or of two.
class TokenTemplate {
public:
    enum class Kind { first_text, second_text, special_token };
    struct Piece {
        Kind kind = Kind::first_text;
        std::uint32_t segment = 0;  ///< of all its tokens
        std::uint32_t id = 0;       ///< of the special token
    };

    explicit TokenTemplate(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {}

    [[nodiscard]] std::size_t n_special() const;
    /// One more than the largest id of a special token; 0 without any.
    [[nodiscard]] std::size_t id_limit() const;
    [[nodiscard]] EncodedText apply(std::span<const std::uint32_t> first,
                                    std::span<const std::uint32_t> second = {}) const;

private:
    std::vector<Piece> pieces_;
};

/// What a tokenizer makes of the tokens of a text, and of a pair of texts.
struct PostProcessor {
    TokenTemplate single;
    TokenTemplate pair;
};

/// `place` is the "post_processor" of a tokenizer file; null stands for one that adds nothing.
/// @throws DataError
[[nodiscard]] PostProcessor read_post_processor(const JsonPlace& place);

/// Adds nothing. The texts of a pair are segments 0 and 1.
[[nodiscard]] PostProcessor texts_alone();

/// `bos` before each text, as the tokenizers of Llama do it.
[[nodiscard]] PostProcessor begin_each_text(std::uint32_t bos);

/// How many tokens two texts of these lengths keep so that there are at most `room` together: the
/// longer one is cut until both are equal, then both. This is "longest_first" of the Hugging Face
/// `tokenizers` library, which gives the odd token to the longer text, and to the second one if
/// they are of one length.
struct PairLengths {
    std::size_t first;
    std::size_t second;
};
[[nodiscard]] PairLengths cut_longest_first(std::size_t first, std::size_t second,
                                            std::size_t room);

}  // namespace lathe::tokenizer
