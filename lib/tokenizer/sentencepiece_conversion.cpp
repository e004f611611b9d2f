#include "lib/tokenizer/sentencepiece_conversion.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>

#include "lib/core/json.hpp"
#include "lib/tokenizer/base64.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

using nlohmann::json;
using Kind = SentencePieceModel::Kind;
using Pieces = std::vector<SentencePieceModel::Piece>;

constexpr const char* space_mark = "\u2581";

/// Calls `use(left, right, n_left, n_right)` for each cut of `text` between two of its characters;
/// the numbers count them.
template <class Use>
void for_each_cut(const std::string& text, const Use& use) {
    const std::size_t count = count_code_points(text);
    std::size_t cut = 0;
    for (std::size_t n = 1; n < count; ++n) {
        (void)next_code_point(text, cut);
        use(text.substr(0, cut), text.substr(cut), n, count - n);
    }
}

/// Names of the pieces by id, some of them replaced by an added token of that id. A name that
/// another piece keeps is not taken.
std::vector<std::string> names_of(const SentencePieceModel& model,
                                  const TokenizerSettings& settings) {
    const auto& added = settings.added_tokens();
    std::set<std::string> kept;
    for (std::size_t id = 0; id < model.pieces.size(); ++id) {
        if (!added.contains(static_cast<std::uint32_t>(id))) kept.insert(model.pieces[id].text);
    }
    std::vector<std::string> names;
    for (std::size_t id = 0; id < model.pieces.size(); ++id) {
        const auto token = added.find(static_cast<std::uint32_t>(id));
        const bool is_renamed = token != added.end() && !kept.contains(token->second.content);
        names.push_back(is_renamed ? token->second.content : model.pieces[id].text);
    }
    return names;
}

json vocabulary_of(const std::vector<std::string>& names) {
    json vocabulary = json::object();
    for (std::size_t id = 0; id < names.size(); ++id) vocabulary[names[id]] = id;
    return vocabulary;
}

/// Of normal pieces only, the likeliest first.
json merges_by_score(const Pieces& pieces, const std::vector<std::string>& names) {
    std::unordered_map<std::string, std::pair<float, std::size_t>> normal;
    for (std::size_t id = 0; id < pieces.size(); ++id) {
        if (pieces[id].kind == Kind::normal) normal[names[id]] = {pieces[id].score, id};
    }
    std::vector<std::tuple<float, std::size_t, std::string, std::string>> ranked;
    for (const auto& [name, rank] : normal) {
        const auto& [score, id] = rank;
        // Clang 14 does not capture a structured binding.
        for_each_cut(name, [&, score = score, id = id](std::string left, std::string right,
                                                       std::size_t, std::size_t) {
            if (!normal.contains(left) || !normal.contains(right)) return;
            ranked.emplace_back(-score, id, std::move(left), std::move(right));
        });
    }
    std::ranges::sort(ranked);
    json merges = json::array();
    for (const auto& [score, id, left, right] : ranked) merges.push_back({left, right});
    return merges;
}

json replace(const json& pattern, const char* content) {
    return {{"type", "Replace"}, {"pattern", pattern}, {"content", content}};
}

/// In SentencePiece's order. Only spaces are removed, no other white space.
json normalizer_of(const SentencePieceModel& model, bool legacy) {
    json steps = json::array();
    if (json rewriting = character_normalizer(model); !rewriting.is_null()) {
        steps.push_back(std::move(rewriting));
    }
    if (model.remove_extra_whitespaces) {
        steps.push_back(replace({{"Regex", "\\A +| +\\z"}}, ""));
        steps.push_back(replace({{"Regex", " {2,}"}}, " "));
    }
    if (model.escape_whitespaces) steps.push_back(replace({{"String", " "}}, space_mark));
    if (model.add_dummy_prefix && legacy) {
        // Metaspace puts no mark before one that is there; SentencePiece does.
        steps.push_back(replace({{"Regex", "\\A\u2581"}}, "\u2581\u2581"));
    }
    return {{"type", "Sequence"}, {"normalizers", steps}};
}

/// `text` with a backslash before whatever means something in an expression.
std::string escaped(const std::string& text) {
    constexpr std::string_view meaning = "\\.^$*+?{}[]()|-#&~ \t\n\r\f\v";
    std::string out;
    for (const char c : text) {
        if (meaning.find(c) != std::string_view::npos) out += '\\';
        out += c;
    }
    return out;
}

/// SentencePiece takes user-defined pieces whole, the longest first.
json pre_tokenizer_of(const SentencePieceModel& model, std::vector<std::string> user_defined,
                      bool legacy) {
    json steps = json::array();
    if (model.add_dummy_prefix) {
        steps.push_back({{"type", "Metaspace"},
                         {"replacement", space_mark},
                         {"prepend_scheme", legacy ? "always" : "first"},
                         {"split", false}});
    }
    std::ranges::stable_sort(user_defined, std::ranges::greater{}, count_code_points);
    std::string pattern;
    for (const std::string& piece : user_defined) {
        pattern += (pattern.empty() ? "" : "|") + escaped(piece);
    }
    if (!pattern.empty()) {
        steps.push_back({{"type", "Split"},
                         {"pattern", {{"Regex", pattern}}},
                         {"behavior", "Isolated"},
                         {"invert", false}});
    }
    if (steps.empty()) return nullptr;
    return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

json decoder_of(const SentencePieceModel& model) {
    json steps = json::array({replace({{"String", space_mark}}, " ")});
    if (model.byte_fallback) steps.push_back({{"type", "ByteFallback"}});
    if (model.byte_fallback || model.add_dummy_prefix) steps.push_back({{"type", "Fuse"}});
    if (model.add_dummy_prefix) {
        steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    }
    return {{"type", "Sequence"}, {"decoders", steps}};
}

json unigram_of(const SentencePieceModel& model) {
    json unigram = scored_pieces(model);
    unigram["type"] = "Unigram";
    unigram["byte_fallback"] = model.byte_fallback;
    if (model.unknown_id >= 0) unigram["unk_id"] = model.unknown_id;
    return unigram;
}

}  // namespace

json character_normalizer(const SentencePieceModel& model) {
    if (model.character_map.empty()) return nullptr;
    return {{"type", "Precompiled"}, {"precompiled_charsmap", to_base64(model.character_map)}};
}

json scored_pieces(const SentencePieceModel& model) {
    json vocabulary = json::array();
    for (const auto& piece : model.pieces) vocabulary.push_back({piece.text, piece.score});
    return {{"vocab", std::move(vocabulary)}};
}

json convert_sentencepiece(const SentencePieceModel& model, const TokenizerSettings& settings) {
    const bool legacy = settings.flag("legacy", true) && !settings.is_null("legacy");
    const bool is_bpe = model.algorithm == SentencePieceModel::Algorithm::bpe;
    std::vector<std::string> names;
    for (const auto& piece : model.pieces) names.push_back(piece.text);
    if (is_bpe) names = names_of(model, settings);
    std::vector<std::string> user_defined;
    for (std::size_t id = 0; id < names.size(); ++id) {
        if (model.pieces[id].kind == Kind::user_defined) user_defined.push_back(names[id]);
    }
    json root{{"normalizer", normalizer_of(model, legacy)},
              {"pre_tokenizer", pre_tokenizer_of(model, user_defined, legacy)},
              {"decoder", decoder_of(model)}};
    root["model"] = is_bpe ? json{{"type", "BPE"},
                                  {"vocab", vocabulary_of(names)},
                                  {"merges", merges_by_score(model.pieces, names)},
                                  {"unk_token", model.unknown_piece},
                                  {"fuse_unk", true},
                                  {"byte_fallback", model.byte_fallback},
                                  {"ignore_merges", !user_defined.empty()}}
                           : unigram_of(model);
    return root;
}

json bpe_of_pieces(const SentencePieceModel& model) {
    std::vector<std::string> names;
    for (const auto& piece : model.pieces) names.push_back(piece.text);
    std::unordered_map<std::string, std::size_t> ids;
    for (std::size_t id = 0; id < names.size(); ++id) ids[names[id]] = id;
    // By the id of what is made, then by lengths, then by the ids of the parts.
    std::vector<std::tuple<std::size_t, std::size_t, std::size_t, std::size_t, std::size_t,
                           std::string, std::string>>
        ranked;
    for (const auto& [name, id] : ids) {
        const std::size_t made = id;
        for_each_cut(name, [&](std::string left, std::string right, std::size_t n_left,
                               std::size_t n_right) {
            const auto l = ids.find(left);
            const auto r = ids.find(right);
            if (l == ids.end() || r == ids.end()) return;
            ranked.emplace_back(made, n_left, n_right, l->second, r->second, std::move(left),
                                std::move(right));
        });
    }
    std::ranges::sort(ranked);
    json merges = json::array();
    for (const auto& entry : ranked) merges.push_back({std::get<5>(entry), std::get<6>(entry)});
    return {{"vocab", vocabulary_of(names)}, {"merges", std::move(merges)}};
}

std::vector<TokenDeclaration> added_pieces(const SentencePieceModel& model,
                                           bool with_user_defined) {
    std::vector<TokenDeclaration> tokens;
    for (const auto& piece : model.pieces) {
        const bool is_user_defined = piece.kind == Kind::user_defined;
        if (piece.kind != Kind::control && !(is_user_defined && with_user_defined)) continue;
        TokenDeclaration token;
        token.content = piece.text;
        token.normalized = false;
        token.special = !is_user_defined;
        tokens.push_back(token);
    }
    return tokens;
}

}  // namespace lathe::tokenizer
