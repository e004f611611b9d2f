#include "lib/tokenizer/bpe.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/byte_tokens.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

constexpr std::uint32_t no_symbol = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t n_low_symbols = 1 << 16;
/// Longer segments hardly repeat.
constexpr std::size_t n_cached_symbols_max = 64;

struct MergeParts {
    std::string left;
    std::string right;
};

/// "a b" or ["a", "b"]: both are in use.
MergeParts parts_of(const nlohmann::json& merge, const JsonPlace& place, std::size_t index) {
    const auto is_text = [](const nlohmann::json& value) { return value.is_string(); };
    if (merge.is_array() && merge.size() == 2 && is_text(merge[0]) && is_text(merge[1])) {
        return {merge[0].get<std::string>(), merge[1].get<std::string>()};
    }
    if (merge.is_string()) {
        const auto& text = merge.get_ref<const std::string&>();
        const std::size_t space = text.find(' ');
        if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
            return {text.substr(0, space), text.substr(space + 1)};
        }
    }
    place.fail("entry " + std::to_string(index) + " is " + merge.dump() +
               ", expected \"left right\" or [\"left\", \"right\"]");
}

bool is_version_comment(const nlohmann::json& merge) {
    return merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version");
}

}  // namespace

Bpe::Bpe(const JsonPlace& place)
    : vocabulary_(place.at("vocab")),
      prefix_(place.string_or("continuing_subword_prefix", "")),
      suffix_(place.string_or("end_of_word_suffix", "")),
      fuse_unknown_(place.boolean_or("fuse_unk", false)),
      byte_fallback_(place.boolean_or("byte_fallback", false)),
      ignore_merges_(place.boolean_or("ignore_merges", false)) {
    if (const auto dropout = place.find("dropout")) {
        if (dropout->value() != 0.0) dropout->fail("dropout is not supported; expected null");
    }
    if (const auto unknown = place.find("unk_token")) unknown_token_ = unknown->string();
    index_symbols();
    read_merges(place.at("merges"));
}

void Bpe::index_symbols() {
    low_symbols_.assign(n_low_symbols, no_symbol);
    for (std::uint32_t id = 0; id < vocabulary_.id_limit(); ++id) {
        const std::string* token = vocabulary_.token_of(id);
        if (token == nullptr || count_code_points(*token) != 1) continue;
        std::size_t position = 0;
        const char32_t character = next_code_point(*token, position);
        if (character < n_low_symbols) {
            low_symbols_[character] = id;
        } else {
            high_symbols_.emplace(character, id);
        }
    }
    for (unsigned byte = 0; byte < byte_tokens_.size(); ++byte) {
        byte_tokens_[byte] = vocabulary_.id_of(byte_token(byte)).value_or(no_symbol);
    }
}

void Bpe::read_merges(const JsonPlace& place) {
    if (!place.value().is_array()) place.fail("expected a list");
    merges_.emplace(place.value().size());
    // A prefix or suffix makes symbols of more than one character, and so do byte tokens; then
    // junctions cannot be told from characters, and words stay whole.
    if (prefix_.empty() && suffix_.empty()) junctions_.emplace(place.value().size());
    std::size_t rank = 0;
    for (std::size_t i = 0; i < place.value().size(); ++i) {
        const nlohmann::json& merge = place.value()[i];
        if (is_version_comment(merge)) continue;
        const MergeParts parts = parts_of(merge, place, i);
        add_merge(place, rank++, parts.left, parts.right);
    }
}

void Bpe::add_merge(const JsonPlace& place, std::size_t rank, const std::string& left,
                    const std::string& right) {
    const auto id_of = [&](const std::string& token) {
        const std::optional<std::uint32_t> id = vocabulary_.id_of(token);
        if (!id) {
            place.fail("merge \"" + left + " " + right + "\" needs token \"" + token +
                       "\", which is not in the vocabulary");
        }
        return *id;
    };
    const std::uint32_t left_id = id_of(left);
    const std::uint32_t right_id = id_of(right);
    if (right.size() < prefix_.size()) {
        place.fail("merge \"" + left + " " + right + "\" lacks the prefix \"" + prefix_ + "\"");
    }
    const std::uint32_t result = id_of(left + right.substr(prefix_.size()));
    merges_->add(left_id, right_id, {static_cast<std::uint32_t>(rank), result});

    if (!junctions_) return;
    const auto is_no_text = [&](std::uint32_t id, const std::string& token) {
        return token.empty() || token == unknown_token_ ||
               (token.size() == 6 &&
                std::find(byte_tokens_.begin(), byte_tokens_.end(), id) != byte_tokens_.end());
    };
    if (is_no_text(left_id, left) || is_no_text(right_id, right)) {
        junctions_.reset();
        return;
    }
    std::size_t last = left.size();
    std::size_t first = 0;
    const std::uint32_t left_symbol = symbol_of(previous_code_point(left, last));
    const std::uint32_t right_symbol = symbol_of(next_code_point(right, first));
    junctions_->add(left_symbol, right_symbol, {});
}

std::uint32_t Bpe::symbol_of(char32_t code_point) const {
    if (code_point < n_low_symbols) return low_symbols_[code_point];
    const auto entry = high_symbols_.find(code_point);
    return entry == high_symbols_.end() ? no_symbol : entry->second;
}

std::uint32_t Bpe::affixed_symbol(std::string& character, bool is_first, bool is_last) const {
    if (!is_first) character.insert(0, prefix_);
    if (is_last) character += suffix_;
    return vocabulary_.id_of(character).value_or(no_symbol);
}

bool Bpe::append_byte_tokens(std::string_view character,
                             std::vector<std::uint32_t>& symbols) const {
    if (!byte_fallback_) return false;
    const std::size_t size_before = symbols.size();
    for (const char byte : character) {
        const std::uint32_t token = byte_tokens_[static_cast<unsigned char>(byte)];
        if (token == no_symbol) {
            symbols.resize(size_before);
            return false;
        }
        symbols.push_back(token);
    }
    return true;
}

std::uint32_t Bpe::unknown_id() const {
    const std::optional<std::uint32_t> id = vocabulary_.id_of(*unknown_token_);
    if (!id) {
        throw DataError("the text has a character without a token, and the unknown token \"" +
                        *unknown_token_ + "\" is not in the tokenizer's vocabulary");
    }
    return *id;
}

void Bpe::split_into_symbols(std::string_view word, std::vector<std::uint32_t>& symbols) const {
    const bool has_affixes = !prefix_.empty() || !suffix_.empty();
    bool unknown_pending = false;
    for (std::size_t i = 0; i < word.size();) {
        const std::size_t begin = i;
        const char32_t code_point = next_code_point(word, i);
        std::string affixed;
        std::string_view character = word.substr(begin, i - begin);
        std::uint32_t symbol = 0;
        if (has_affixes) {
            affixed = character;
            symbol = affixed_symbol(affixed, begin == 0, i == word.size());
            character = affixed;
        } else {
            symbol = symbol_of(code_point);
        }
        if (symbol != no_symbol) {
            if (std::exchange(unknown_pending, false)) symbols.push_back(unknown_id());
            symbols.push_back(symbol);
        } else if (!append_byte_tokens(character, symbols) && unknown_token_) {
            // A pending unknown token stays behind byte tokens that follow it in the text. That
            // looks wrong, but is what the original does.
            if (unknown_pending && !fuse_unknown_) symbols.push_back(unknown_id());
            unknown_pending = true;
        }
    }
    if (unknown_pending) symbols.push_back(unknown_id());
}

void Bpe::merge_segment(std::span<const std::uint32_t> symbols, Work& work) const {
    if (symbols.size() == 1) {
        work.ids.push_back(symbols.front());
        return;
    }
    if (symbols.size() > n_cached_symbols_max) return work.merger.merge(symbols, work.ids);

    const std::string_view key(reinterpret_cast<const char*>(symbols.data()), symbols.size_bytes());
    if (work.cache.append(key, work.ids)) return;
    const std::size_t size_before = work.ids.size();
    work.merger.merge(symbols, work.ids);
    work.cache.store(key, std::span(work.ids).subspan(size_before));
}

void Bpe::tokenize_word(std::string_view word, Work& work) const {
    if (ignore_merges_) {
        if (const std::optional<std::uint32_t> id = vocabulary_.id_of(word)) {
            work.ids.push_back(*id);
            return;
        }
    }
    std::vector<std::uint32_t>& symbols = work.symbols;
    symbols.clear();
    split_into_symbols(word, symbols);
    std::size_t begin = 0;
    for (std::size_t i = 1; i <= symbols.size(); ++i) {
        const bool joined =
            i < symbols.size() &&
            (!junctions_ || junctions_->find(symbols[i - 1], symbols[i]) != nullptr);
        if (joined) continue;
        merge_segment(std::span(symbols).subspan(begin, i - begin), work);
        begin = i;
    }
}

void Bpe::tokenize(const PreTokenizedText& text, WordCache& cache,
                   std::vector<std::uint32_t>& ids) const {
    Work work{cache, Merger(*merges_), {}, ids};
    for (const Span& word : text.words) tokenize_word(text.word(word), work);
}

}  // namespace lathe::tokenizer
