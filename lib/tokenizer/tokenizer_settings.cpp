#include "lib/tokenizer/tokenizer_settings.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe::tokenizer {
namespace {

constexpr std::array<std::string_view, 7> standard_names = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
constexpr const char* added_key = "added_tokens_decoder";
constexpr const char* extra_key = "extra_special_tokens";
constexpr const char* old_extra_key = "additional_special_tokens";

bool is_standard(std::string_view name) {
    return std::ranges::find(standard_names, name) != standard_names.end();
}

/// "bos_token" and the like, but for switches: add_bos_token is one.
bool names_a_token(const std::string& key, const nlohmann::json& value) {
    const bool is_token = value.is_string() || (value.is_object() && value.contains("content"));
    return key.ends_with("_token") && is_token;
}

bool is_empty(const nlohmann::json& object, const char* key) {
    const auto member = object.find(key);
    return member == object.end() || member->empty();
}

}  // namespace

TokenizerSettings::TokenizerSettings(const TokenizerFiles& files)
    : values_(files.tokenizer_config.value.is_object() ? files.tokenizer_config.value
                                                       : nlohmann::json::object()),
      where_(files.tokenizer_config.where) {
    // A tokenizer.json says itself what stands around a text.
    if (files.tokenizer.value.is_object()) {
        values_.erase("add_bos_token");
        values_.erase("add_eos_token");
    }
    if (values_.contains(old_extra_key) && is_empty(values_, extra_key)) {
        values_[extra_key] = values_[old_extra_key];
        values_.erase(old_extra_key);
    }
    if (values_.contains(added_key)) {
        read_added_decoder();
    } else {
        merge_special_tokens_map(files);
        read_added_tokens_file(files.added_tokens);
        read_added_tokens_of(files.tokenizer);
    }
    extra_ = read_list(extra_key);
    weak_ = read_list(old_extra_key);
}

JsonPlace TokenizerSettings::place_of(std::string_view key) const {
    return JsonPlace(values_, where_).at(key);
}

/// A text, or an object with switches. What an added token of this content says wins.
TokenDeclaration TokenizerSettings::read_token(const JsonPlace& place) const {
    TokenDeclaration token =
        place.is_string() ? special_token(place.string()) : read_token_declaration(place);
    const auto added = added_by_content_.find(token.content);
    return added == added_by_content_.end() ? token : added->second;
}

void TokenizerSettings::read_added_decoder() {
    const JsonPlace decoder = place_of(added_key);
    if (decoder.is_null()) return;
    if (!decoder.is_object()) decoder.fail("expected an object {id: token}");
    for (const auto& [key, unused] : decoder.value().items()) {
        const JsonPlace item = decoder.at(key);
        std::uint32_t id = 0;
        const auto [rest, error] = std::from_chars(key.data(), key.data() + key.size(), id);
        if (error != std::errc{} || rest != key.data() + key.size()) {
            item.fail("expected a token id for a key");
        }
        const TokenDeclaration token = read_token_declaration(item);
        added_.insert_or_assign(id, token);
        added_by_content_.insert_or_assign(token.content, token);
    }
}

void TokenizerSettings::merge_special_tokens_map(const TokenizerFiles& files) {
    if (!files.special_tokens_map.value.is_object()) return;
    for (const auto& [key, value] : files.special_tokens_map.value.items()) {
        values_[key] = value;
        if (value.is_object() && key != extra_key) values_[key]["special"] = true;
    }
}

void TokenizerSettings::read_added_tokens_file(const JsonFile& file) {
    if (!file.value.is_object()) return;
    std::vector<std::string> specials;
    for (const std::string_view name : standard_names) {
        const auto member = values_.find(name);
        // An object of tokenizer_config.json (it has "__type") is not looked at here, in the
        // original.
        const bool counts = member != values_.end() && !member->is_null() &&
                            (!member->is_object() || !member->contains("__type"));
        if (!counts) continue;
        specials.push_back(read_token(place_of(name)).content);
    }
    for (const TokenDeclaration& token : read_list(extra_key).value_or(Tokens{})) {
        specials.push_back(token.content);
    }
    const JsonPlace root(file.value, file.where);
    for (const auto& [content, unused] : file.value.items()) {
        const std::uint32_t id = root.at(content).integer();
        TokenDeclaration token;
        token.content = content;
        token.special = std::ranges::find(specials, content) != specials.end();
        token.normalized = !token.special;
        if (added_.contains(id)) {
            root.at(content).fail("id " + std::to_string(id) + " is that of \"" +
                                  added_.at(id).content + "\" too");
        }
        added_.emplace(id, token);
        added_by_content_.insert_or_assign(content, token);
    }
}

void TokenizerSettings::read_added_tokens_of(const JsonFile& tokenizer) {
    if (!tokenizer.value.is_object()) return;
    const auto list = JsonPlace(tokenizer.value, tokenizer.where).find("added_tokens");
    if (!list) return;
    for (const JsonPlace& item : list->items()) {
        const TokenDeclaration token = read_token_declaration(item);
        added_.insert_or_assign(item.at("id").integer(), token);
        added_by_content_.insert_or_assign(token.content, token);
    }
}

std::optional<std::vector<TokenDeclaration>> TokenizerSettings::read_list(const char* key) const {
    const auto member = values_.find(key);
    if (member == values_.end() || !member->is_array()) return std::nullopt;
    Tokens tokens;
    for (const JsonPlace& item : place_of(key).items()) tokens.push_back(read_token(item));
    return tokens;
}

std::optional<bool> TokenizerSettings::flag(std::string_view key) const {
    const auto place = JsonPlace(values_, where_).find(key);
    if (!place) return std::nullopt;
    return place->boolean();
}

bool TokenizerSettings::flag(std::string_view key, bool fallback) const {
    return flag(key).value_or(fallback);
}

std::size_t TokenizerSettings::count(std::string_view key, std::size_t fallback) const {
    const auto place = JsonPlace(values_, where_).find(key);
    return place ? place->integer() : fallback;
}

bool TokenizerSettings::is_null(std::string_view key) const {
    const auto member = values_.find(key);
    return member != values_.end() && member->is_null();
}

bool TokenizerSettings::has(std::string_view key) const {
    return JsonPlace(values_, where_).find(key).has_value();
}

std::optional<TokenDeclaration> TokenizerSettings::named_token(
    std::string_view name, std::span<const DefaultToken> defaults) const {
    const auto member = values_.find(name);
    if (member != values_.end()) {
        if (member->is_null()) return std::nullopt;
        TokenDeclaration token = read_token(place_of(name));
        token.special = true;
        return token;
    }
    const auto found = std::ranges::find(defaults, name, &DefaultToken::name);
    if (found == defaults.end() || found->content.empty()) return std::nullopt;
    return special_token(found->content);
}

std::vector<std::pair<std::string, TokenDeclaration>> TokenizerSettings::tokens_by_name(
    std::span<const DefaultToken> defaults) const {
    std::vector<std::pair<std::string, TokenDeclaration>> tokens;
    const auto add = [&](std::string_view name) {
        if (const auto token = named_token(name, defaults)) tokens.emplace_back(name, *token);
    };
    for (const std::string_view name : standard_names) add(name);
    for (const DefaultToken& token : defaults) {
        if (!is_standard(token.name)) add(token.name);
    }
    const auto is_default = [&](const std::string& key) {
        return std::ranges::find(defaults, key, &DefaultToken::name) != defaults.end();
    };
    for (const auto& [key, value] : values_.items()) {
        if (names_a_token(key, value) && !is_standard(key) && !is_default(key)) add(key);
    }
    const auto dictionary = values_.find(extra_key);
    if (dictionary != values_.end() && dictionary->is_object()) {
        for (const auto& [key, unused] : dictionary->items()) {
            tokens.emplace_back(key, read_token(place_of(extra_key).at(key)));
            tokens.back().second.special = true;
        }
    }
    return tokens;
}

std::vector<TokenDeclaration> TokenizerSettings::named_tokens(
    std::span<const DefaultToken> defaults) const {
    std::vector<TokenDeclaration> tokens;
    for (const auto& [name, token] : tokens_by_name(defaults)) tokens.push_back(token);
    return tokens;
}

}  // namespace lathe::tokenizer
