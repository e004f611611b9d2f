#include "lib/tokenizer/token_model.hpp"

#include "lib/tokenizer/bpe.hpp"
#include "lib/tokenizer/component_table.hpp"
#include "lib/tokenizer/unigram.hpp"
#include "lib/tokenizer/word_level.hpp"
#include "lib/tokenizer/wordpiece.hpp"

namespace lathe::tokenizer {
namespace {

using Result = std::unique_ptr<TokenModel>;

template <class Kind>
Result read(const JsonPlace& place) {
    return std::make_unique<Kind>(place);
}

constexpr ComponentKind<TokenModel> kinds[] = {
    {"BPE", read<Bpe>},
    {"Unigram", read<Unigram>},
    {"WordLevel", read<WordLevel>},
    {"WordPiece", read<WordPiece>},
};

}  // namespace

Result read_token_model(const JsonPlace& place) {
    if (place.find("type")) return read_component<TokenModel>(place, "model", kinds);
    if (place.find("merges")) return read<Bpe>(place);
    if (place.find("max_input_chars_per_word")) return read<WordPiece>(place);
    const auto vocabulary = place.find("vocab");
    if (vocabulary && vocabulary->is_list()) return read<Unigram>(place);
    refuse_type(place, "model", "", {"BPE", "Unigram", "WordLevel", "WordPiece"});
}

}  // namespace lathe::tokenizer
