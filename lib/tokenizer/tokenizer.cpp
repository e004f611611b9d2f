#include "lib/tokenizer/tokenizer.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/tokenizer/checkpoint_tokenizer.hpp"
#include "lib/tokenizer/post_processor.hpp"
#include "lib/tokenizer/tokenizer_json.hpp"

namespace lathe {
namespace {

/// Tokens of the text that fit between the special ones.
std::size_t room_for_text(std::size_t max_length, const tokenizer::TokenTemplate& form) {
    const std::size_t n_special = form.n_special();
    if (n_special <= max_length) return max_length - n_special;
    throw UsageError("sequences of at most " + std::to_string(max_length) +
                     " tokens leave no room for the tokenizer's " + std::to_string(n_special) +
                     " special tokens");
}

}  // namespace

std::vector<std::uint32_t> Tokenizer::encode(std::string_view text, bool special) const {
    std::vector<std::uint32_t> ids = do_encode(text);
    return special ? post_processor().single.apply(ids).ids : ids;
}

EncodedText Tokenizer::encode_within(std::string_view text, std::size_t max_length) const {
    const tokenizer::TokenTemplate& form = post_processor().single;
    const std::size_t room = room_for_text(max_length, form);
    const std::vector<std::uint32_t> ids = do_encode(text);
    return form.apply(std::span(ids).first(std::min(ids.size(), room)));
}

EncodedText Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                   std::size_t max_length) const {
    const tokenizer::TokenTemplate& form = post_processor().pair;
    const std::size_t room = room_for_text(max_length, form);
    const std::vector<std::uint32_t> a = do_encode(first);
    const std::vector<std::uint32_t> b = do_encode(second);
    const auto lengths = tokenizer::cut_longest_first(a.size(), b.size(), room);
    return form.apply(std::span(a).first(lengths.first), std::span(b).first(lengths.second));
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
    using namespace tokenizer;
    return make_tokenizer(combine_tokenizer_files(read_tokenizer_files(directory)));
}

std::map<std::string, std::string> named_special_tokens(const std::filesystem::path& directory) {
    return tokenizer::named_tokens_of(tokenizer::read_tokenizer_files(directory));
}

std::unique_ptr<Tokenizer> load_tokenizer_file(const std::filesystem::path& file) {
    const std::string extension = file.extension().string();
    if (extension == ".json") return tokenizer::load_json_tokenizer(file);
    if (extension == ".model") {
        return tokenizer::make_tokenizer(tokenizer::document_of_sentencepiece(file));
    }
    throw DataError(file.string() + ": a tokenizer file ends in .json or .model, not in \"" +
                    extension + "\"");
}

}  // namespace lathe
