#include "lib/tokenizer/token_declaration.hpp"

#include "lib/core/json.hpp"

namespace lathe::tokenizer {

TokenDeclaration special_token(std::string_view content) {
    TokenDeclaration token;
    token.content = content;
    token.normalized = false;
    token.special = true;
    return token;
}

TokenDeclaration read_token_declaration(const JsonPlace& place) {
    const bool special = place.boolean_or("special", false);
    return {place.at("content").string(),
            place.boolean_or("single_word", false),
            place.boolean_or("lstrip", false),
            place.boolean_or("rstrip", false),
            place.boolean_or("normalized", !special),
            special};
}

nlohmann::json to_json(const TokenDeclaration& token) {
    return {{"content", token.content}, {"single_word", token.single_word},
            {"lstrip", token.lstrip},   {"rstrip", token.rstrip},
            {"special", token.special}, {"normalized", token.normalized}};
}

}  // namespace lathe::tokenizer
