#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "lib/tokenizer/added_token_ids.hpp"
#include "lib/tokenizer/token_declaration.hpp"
#include "lib/tokenizer/vocabulary.hpp"

namespace lathe::tokenizer {

/// What a tokenizer.json holds, while it is put together: model and components first, then added
/// tokens one by one, then what stands around a text.
class TokenizerDocument {
public:
    /// `root` has a "model" and perhaps other components and "added_tokens". `where` is for
    /// messages. @throws DataError
    TokenizerDocument(nlohmann::json root, std::string where);
    TokenizerDocument(const TokenizerDocument&) = delete;
    TokenizerDocument& operator=(const TokenizerDocument&) = delete;

    void add(const TokenDeclaration& token);
    [[nodiscard]] bool has_added(std::string_view content) const;

    [[nodiscard]] bool has_post_processor() const;
    /// `bos` before each text and `eos` behind it, those that there are.
    void put_around_texts(const std::optional<TokenDeclaration>& bos,
                          const std::optional<TokenDeclaration>& eos);
    /// text eos, and for a pair first eos second eos.
    void put_eos_behind(std::string_view eos);
    /// cls text sep, and for a pair cls first sep second sep, the second a segment of its own.
    void put_cls_and_sep(std::string_view cls, std::string_view sep);
    /// cls text sep, and for a pair cls first sep sep second sep.
    void put_as_roberta(std::string_view cls, std::string_view sep);

    /// The finished document.
    [[nodiscard]] const nlohmann::json& root() const { return root_; }
    [[nodiscard]] const std::string& where() const { return where_; }

private:
    [[nodiscard]] nlohmann::json special_piece(std::string_view content, int segment) const;
    [[nodiscard]] std::uint32_t require_id(std::string_view content) const;
    void set_template(nlohmann::json single, nlohmann::json pair);

    nlohmann::json root_;
    std::string where_;
    Vocabulary vocabulary_;
    AddedTokenIds ids_;
};

}  // namespace lathe::tokenizer
