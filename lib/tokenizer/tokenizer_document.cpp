#include "lib/tokenizer/tokenizer_document.hpp"

#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe::tokenizer {
namespace {

using nlohmann::json;

/// {token: id}, or of a Unigram [[token, score], ...].
Vocabulary vocabulary_of(const json& root, const std::string& where) {
    const JsonPlace place = JsonPlace(root, where).at("model").at("vocab");
    if (!place.is_list()) return Vocabulary(place);
    std::vector<std::string> tokens;
    for (const json& entry : place.value()) {
        if (!entry.is_array() || entry.empty() || !entry[0].is_string()) {
            place.fail("entry " + std::to_string(tokens.size()) + " is " + entry.dump() +
                       ", expected [token, score]");
        }
        tokens.push_back(entry[0].get<std::string>());
    }
    return Vocabulary(tokens);
}

json text_piece(const char* id, int segment) {
    return {{"Sequence", {{"id", id}, {"type_id", segment}}}};
}

void append(json& list, const json& more) {
    list.insert(list.end(), more.begin(), more.end());
}

}  // namespace

TokenizerDocument::TokenizerDocument(json root, std::string where)
    : root_(std::move(root)),
      where_(std::move(where)),
      vocabulary_(vocabulary_of(root_, where_)),
      ids_(vocabulary_) {
    json& tokens = root_["added_tokens"];
    if (tokens.is_null()) tokens = json::array();
    for (const JsonPlace& item : JsonPlace(root_, where_).at("added_tokens").items()) {
        (void)ids_.add(read_token_declaration(item));
    }
}

void TokenizerDocument::add(const TokenDeclaration& token) {
    const auto id = ids_.add(token);
    if (!id) return;
    json entry = to_json(token);
    entry["id"] = *id;
    root_["added_tokens"].push_back(std::move(entry));
}

bool TokenizerDocument::has_added(std::string_view content) const {
    const auto id = ids_.id_of(content);
    return id && ids_.by_id().contains(*id);
}

bool TokenizerDocument::has_post_processor() const {
    const auto member = root_.find("post_processor");
    return member != root_.end() && !member->is_null();
}

std::uint32_t TokenizerDocument::require_id(std::string_view content) const {
    if (const auto id = ids_.id_of(content)) return *id;
    throw DataError(where_ + ": the special token \"" + std::string(content) +
                    "\" is not in the vocabulary");
}

json TokenizerDocument::special_piece(std::string_view content, int segment) const {
    return {{"SpecialToken", {{"id", content}, {"type_id", segment}}}};
}

void TokenizerDocument::set_template(json single, json pair) {
    json special_tokens = json::object();
    for (const json& piece : pair) {
        const auto special = piece.find("SpecialToken");
        if (special == piece.end()) continue;
        const auto content = special->at("id").get<std::string>();
        special_tokens[content] = {
            {"id", content}, {"ids", {require_id(content)}}, {"tokens", {content}}};
    }
    root_["post_processor"] = {{"type", "TemplateProcessing"},
                               {"single", std::move(single)},
                               {"pair", std::move(pair)},
                               {"special_tokens", std::move(special_tokens)}};
}

void TokenizerDocument::put_around_texts(const std::optional<TokenDeclaration>& bos,
                                         const std::optional<TokenDeclaration>& eos) {
    const auto around = [&](const char* id, int segment) {
        json pieces = json::array();
        if (bos) pieces.push_back(special_piece(bos->content, segment));
        pieces.push_back(text_piece(id, segment));
        if (eos) pieces.push_back(special_piece(eos->content, segment));
        return pieces;
    };
    json pair = around("A", 0);
    append(pair, around("B", 1));
    set_template(around("A", 0), std::move(pair));
}

void TokenizerDocument::put_eos_behind(std::string_view eos) {
    const json single = {text_piece("A", 0), special_piece(eos, 0)};
    json pair = single;
    append(pair, {text_piece("B", 0), special_piece(eos, 0)});
    set_template(single, std::move(pair));
}

void TokenizerDocument::put_cls_and_sep(std::string_view cls, std::string_view sep) {
    const json single = {special_piece(cls, 0), text_piece("A", 0), special_piece(sep, 0)};
    json pair = single;
    pair.push_back(text_piece("B", 1));
    pair.push_back(special_piece(sep, 1));
    set_template(single, std::move(pair));
}

void TokenizerDocument::put_as_roberta(std::string_view cls, std::string_view sep) {
    const json single = {special_piece(cls, 0), text_piece("A", 0), special_piece(sep, 0)};
    json pair = single;
    append(pair, {special_piece(sep, 0), text_piece("B", 0), special_piece(sep, 0)});
    set_template(single, std::move(pair));
}

}  // namespace lathe::tokenizer
