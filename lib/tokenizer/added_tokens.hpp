#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/tokenizer/json_place.hpp"
#include "lib/tokenizer/normalizer.hpp"
#include "lib/tokenizer/vocabulary.hpp"

namespace lathe::tokenizer {

/// A token that is found as a whole in the text, before the model sees it.
struct AddedToken {
    std::uint32_t id;
    std::string content;  ///< as the file has it
    std::string text;     ///< what is looked for, and what decode returns
    bool single_word;     ///< only where no word character touches it
    bool lstrip;          ///< takes the white space before it along
    bool rstrip;          ///< takes the white space behind it along
    bool normalized;      ///< looked for, itself normalised, in normalised text, else as it came
    bool special;         ///< left out by decode
};

/// Bytes [begin, end) of a text: an added token, or text between two of them.
struct TextPart {
    std::size_t begin;
    std::size_t end;
    std::optional<std::uint32_t> id;  ///< of the added token
};

/// The "added_tokens" of a tokenizer file.
class AddedTokens {
public:
    /// `vocabulary` and `normalizer` are those of the same file; they are only used here.
    /// @throws DataError  if an id or a content contradicts another one or the vocabulary
    AddedTokens(const JsonPlace& place, const Vocabulary& vocabulary, const Normalizer& normalizer);
    ~AddedTokens();

    /// Cuts `text` as it came at the tokens that are not `normalized`. Of several that begin at the
    /// same place the longest counts.
    [[nodiscard]] std::vector<TextPart> cut_raw(std::string_view text) const;
    /// Cuts normalised `text` at the others.
    [[nodiscard]] std::vector<TextPart> cut_normalized(std::string_view text) const;

    /// None if no added token has this id.
    [[nodiscard]] const AddedToken* find(std::uint32_t id) const;
    /// One more than the largest id; 0 if there are none.
    [[nodiscard]] std::size_t id_limit() const { return id_limit_; }

private:
    class Finder;

    void add(const JsonPlace& place, const Vocabulary& vocabulary);

    std::vector<AddedToken> tokens_;
    std::unordered_map<std::uint32_t, std::size_t> index_of_id_;
    std::unique_ptr<Finder> raw_;
    std::unique_ptr<Finder> normalized_;
    std::size_t id_limit_ = 0;
};

}  // namespace lathe::tokenizer
