#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/tokenizer/added_token_ids.hpp"
#include "lib/tokenizer/json_place.hpp"
#include "lib/tokenizer/normalizer.hpp"
#include "lib/tokenizer/vocabulary.hpp"

namespace lathe::tokenizer {

/// A declared token with its id.
struct AddedToken : TokenDeclaration {
    std::uint32_t id = 0;
    std::string text;  ///< what decode returns: the content, normalised if it is looked for so
};

/// Bytes [begin, end) of a text: an added token, or text between two of them.
struct TextPart {
    std::size_t begin;
    std::size_t end;
    std::optional<std::uint32_t> id;  ///< of the added token
};

/// Whether special tokens written out in a text are taken for what they look like.
enum class SpecialTokensInText { found, plain_text };

/// The "added_tokens" of a tokenizer file.
class AddedTokens {
public:
    /// `vocabulary` and `normalizer` are those of the same file; they are only used here.
    /// @throws DataError  if an id contradicts the vocabulary, or would belong to two tokens
    AddedTokens(const JsonPlace& place, const Vocabulary& vocabulary, const Normalizer& normalizer,
                SpecialTokensInText in_text = SpecialTokensInText::found);
    ~AddedTokens();

    /// Cuts `text` as it came at the tokens that are not `normalized`. Of several that begin at the
    /// same place the longest counts.
    [[nodiscard]] std::vector<TextPart> cut_raw(std::string_view text) const;
    /// Cuts normalised `text` at the others.
    [[nodiscard]] std::vector<TextPart> cut_normalized(std::string_view text) const;

    /// None if no added token has this id. `special` is what counts for decode: as in the original,
    /// a special token that normalisation changes is none there.
    [[nodiscard]] const AddedToken* find(std::uint32_t id) const;
    /// One more than the largest id; 0 if there are none.
    [[nodiscard]] std::size_t id_limit() const { return id_limit_; }

private:
    class Finder;

    void add(const JsonPlace& place, const Vocabulary& vocabulary, AddedTokenIds& ids);

    std::unordered_map<std::uint32_t, AddedToken> tokens_;  // by id
    std::unique_ptr<Finder> raw_;
    std::unique_ptr<Finder> normalized_;
    std::size_t id_limit_ = 0;
};

}  // namespace lathe::tokenizer
