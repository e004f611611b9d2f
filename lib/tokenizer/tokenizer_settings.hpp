#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "lib/tokenizer/token_declaration.hpp"
#include "lib/tokenizer/tokenizer_files.hpp"

namespace lathe::tokenizer {

/// A special token of a class that the files need not name.
struct DefaultToken {
    std::string_view name;     ///< "unk_token"
    std::string_view content;  ///< empty: none
};

/// Switches and tokens of tokenizer_config.json, special_tokens_map.json, added_tokens.json and the
/// "added_tokens" of tokenizer.json, merged as transformers 5 does: the last three count only where
/// the first has no "added_tokens_decoder", and special_tokens_map.json then wins over it.
class TokenizerSettings {
public:
    /// @throws DataError  naming file and key
    explicit TokenizerSettings(const TokenizerFiles& files);

    /// `fallback` if the key is absent or null.
    [[nodiscard]] bool flag(std::string_view key, bool fallback) const;
    [[nodiscard]] std::optional<bool> flag(std::string_view key) const;
    [[nodiscard]] bool has(std::string_view key) const;
    [[nodiscard]] bool is_null(std::string_view key) const;
    /// A whole number.
    [[nodiscard]] std::size_t count(std::string_view key, std::size_t fallback) const;

    /// bos, eos, unk, sep, pad, cls and mask token, then others with a name, as far as there are
    /// such. A null in the files takes a default away.
    [[nodiscard]] std::vector<TokenDeclaration> named_tokens(
        std::span<const DefaultToken> defaults) const;
    /// The same with the names of those that have a key of their own.
    [[nodiscard]] std::vector<std::pair<std::string, TokenDeclaration>> tokens_by_name(
        std::span<const DefaultToken> defaults) const;
    /// One of them.
    [[nodiscard]] std::optional<TokenDeclaration> named_token(
        std::string_view name, std::span<const DefaultToken> defaults) const;

    /// Special tokens without a name; none if the files do not say. What only
    /// special_tokens_map.json says gives way to those of a SentencePiece model.
    using Tokens = std::vector<TokenDeclaration>;
    [[nodiscard]] std::optional<Tokens> extra_tokens() const { return extra_ ? extra_ : weak_; }
    [[nodiscard]] const std::optional<Tokens>& strong_extra_tokens() const { return extra_; }
    /// Added tokens by the ids that the files state.
    [[nodiscard]] const std::map<std::uint32_t, TokenDeclaration>& added_tokens() const {
        return added_;
    }
    [[nodiscard]] const std::string& where() const { return where_; }

private:
    void read_added_decoder();
    void merge_special_tokens_map(const TokenizerFiles& files);
    void read_added_tokens_file(const JsonFile& file);
    void read_added_tokens_of(const JsonFile& tokenizer);
    [[nodiscard]] std::optional<std::vector<TokenDeclaration>> read_list(const char* key) const;
    [[nodiscard]] JsonPlace place_of(std::string_view key) const;
    [[nodiscard]] TokenDeclaration read_token(const JsonPlace& place) const;

    nlohmann::json values_;
    std::string where_;
    std::map<std::uint32_t, TokenDeclaration> added_;
    std::map<std::string, TokenDeclaration, std::less<>> added_by_content_;
    std::optional<std::vector<TokenDeclaration>> extra_;
    std::optional<std::vector<TokenDeclaration>> weak_;
};

}  // namespace lathe::tokenizer
