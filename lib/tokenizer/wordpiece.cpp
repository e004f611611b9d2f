#include "lib/tokenizer/wordpiece.hpp"

#include <optional>

#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

std::uint32_t read_unknown_id(const JsonPlace& place, const Vocabulary& vocabulary) {
    const JsonPlace token = place.at("unk_token");
    const std::optional<std::uint32_t> id = vocabulary.id_of(token.string());
    if (!id) token.fail("token \"" + token.string() + "\" is not in the vocabulary");
    return *id;
}

std::size_t read_word_length_max(const JsonPlace& place) {
    const auto value = place.find("max_input_chars_per_word");
    return value ? value->integer() : 100;
}

}  // namespace

WordPiece::WordPiece(const JsonPlace& place)
    : vocabulary_(place.at("vocab")),
      prefix_(place.string_or("continuing_subword_prefix", "##")),
      word_length_max_(read_word_length_max(place)),
      unknown_id_(read_unknown_id(place, vocabulary_)) {}

void WordPiece::tokenize_word(std::string_view word, std::vector<std::uint32_t>& ids) const {
    const std::size_t size_before = ids.size();
    const auto give_up = [&] {
        ids.resize(size_before);
        ids.push_back(unknown_id_);
    };
    if (count_code_points(word) > word_length_max_) return give_up();

    std::string candidate(word);  // prefix (but for the first token) and what is left of the word
    std::size_t begin = 0;
    while (begin < word.size()) {
        std::size_t end = candidate.size();
        const std::size_t shortest = begin == 0 ? 0 : prefix_.size();
        std::optional<std::uint32_t> id;
        while (end > shortest &&
               !(id = vocabulary_.id_of(std::string_view(candidate).substr(0, end)))) {
            (void)previous_code_point(candidate, end);
        }
        if (!id) return give_up();
        ids.push_back(*id);
        begin += end - shortest;
        candidate = prefix_;
        candidate += word.substr(begin);
    }
}

void WordPiece::tokenize(const PreTokenizedText& text, WordCache& cache,
                         std::vector<std::uint32_t>& ids) const {
    for (const Span& span : text.words) {
        const std::string_view word = text.word(span);
        if (cache.append(word, ids)) continue;
        const std::size_t size_before = ids.size();
        tokenize_word(word, ids);
        cache.store(word, std::span(ids).subspan(size_before));
    }
}

}  // namespace lathe::tokenizer
