#include "lib/tokenizer/unigram.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/byte_tokens.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

/// What an unknown character costs more than the least likely token.
constexpr double unknown_penalty = 10.0;
/// Longer words hardly repeat.
constexpr std::size_t longest_cached_word = 256;

std::optional<std::uint32_t> read_unknown_id(const JsonPlace& place, std::size_t n_tokens) {
    const auto id = place.find("unk_id");
    if (!id) return std::nullopt;
    if (id->integer() >= n_tokens) {
        id->fail("unk_id " + std::to_string(id->integer()) + " is not in the vocabulary of " +
                 std::to_string(n_tokens) + " tokens");
    }
    return id->integer();
}

}  // namespace

Unigram::Pieces Unigram::read_pieces(const JsonPlace& place) {
    Pieces pieces;
    const nlohmann::json& list = place.value();
    if (!list.is_array()) place.fail("expected a list of [token, score]");
    for (const nlohmann::json& entry : list) {
        if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() ||
            !entry[1].is_number()) {
            place.fail("entry " + std::to_string(pieces.tokens.size()) + " is " + entry.dump() +
                       ", expected [token, score]");
        }
        pieces.tokens.push_back(entry[0].get<std::string>());
        pieces.scores.push_back(entry[1].get<double>());
    }
    return pieces;
}

Unigram::Unigram(const JsonPlace& place) : Unigram(place, read_pieces(place.at("vocab"))) {}

Unigram::Unigram(const JsonPlace& place, Pieces pieces)
    : vocabulary_(pieces.tokens),
      tree_(pieces.tokens),
      scores_(std::move(pieces.scores)),
      unknown_score_((scores_.empty() ? 0.0 : std::ranges::min(scores_)) - unknown_penalty),
      unknown_id_(read_unknown_id(place, scores_.size())),
      byte_fallback_(place.boolean_or("byte_fallback", false)) {}

std::uint32_t Unigram::unknown_id() const {
    if (unknown_id_) return *unknown_id_;
    throw DataError(
        "the text has a character without a token, and the tokenizer has no unknown token "
        "(model.unk_id)");
}

void Unigram::find_best_steps(std::string_view word, std::vector<Step>& steps) const {
    steps.assign(word.size() + 1, Step{});
    const auto propose = [&](std::size_t begin, std::size_t end, std::uint32_t token,
                             double score) {
        const double total = steps[begin].score + score;
        if (steps[end].is_reached && total <= steps[end].score) return;
        steps[end] = {total, begin, token, true};
    };
    for (std::size_t begin = 0; begin < word.size();) {
        std::size_t next = begin;
        (void)next_code_point(word, next);
        bool has_character = false;
        tree_.for_each_prefix(word.substr(begin), [&](std::size_t length, std::uint32_t token) {
            propose(begin, begin + length, token, scores_[token]);
            has_character = has_character || begin + length == next;
        });
        if (!has_character) propose(begin, next, unknown_id(), unknown_score_);
        begin = next;
    }
}

/// Of a stretch that the unknown token covers.
void Unigram::append_unknown(std::string_view text, std::vector<std::uint32_t>& ids) const {
    // The original looks the fused text up once more.
    if (const auto id = vocabulary_.id_of(text)) return ids.push_back(*id);
    if (!byte_fallback_ || !append_byte_tokens(vocabulary_, text, ids)) ids.push_back(unknown_id());
}

void Unigram::tokenize_word(std::string_view word, std::vector<Step>& steps,
                            std::vector<std::uint32_t>& ids) const {
    find_best_steps(word, steps);
    const auto is_unknown = [&](std::size_t end) { return steps[end].token == unknown_id_; };
    std::vector<Span> cuts;  // from the last to the first, unknown neighbours as one
    for (std::size_t end = word.size(); end > 0; end = steps[end].begin) {
        if (!cuts.empty() && is_unknown(end) && is_unknown(cuts.back().end)) {
            cuts.back().begin = steps[end].begin;
        } else {
            cuts.push_back({steps[end].begin, end});
        }
    }
    for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
        if (is_unknown(cut->end)) {
            append_unknown(word.substr(cut->begin, cut->end - cut->begin), ids);
        } else {
            ids.push_back(steps[cut->end].token);
        }
    }
}

void Unigram::tokenize(const PreTokenizedText& text, WordCache& cache,
                       std::vector<std::uint32_t>& ids) const {
    std::vector<Step> steps;
    for (const Span& span : text.words) {
        const std::string_view word = text.word(span);
        if (cache.append(word, ids)) continue;
        const std::size_t size_before = ids.size();
        tokenize_word(word, steps, ids);
        if (word.size() <= longest_cached_word) {
            cache.store(word, std::span(ids).subspan(size_before));
        }
    }
}

}  // namespace lathe::tokenizer
