#include "lib/tokenizer/token_model.hpp"

#include "lib/tokenizer/bpe.hpp"
#include "lib/tokenizer/component_table.hpp"
#include "lib/tokenizer/wordpiece.hpp"

namespace lathe::tokenizer {
namespace {

using Result = std::unique_ptr<TokenModel>;

Result read_bpe(const JsonPlace& place) {
    return std::make_unique<Bpe>(place);
}

Result read_wordpiece(const JsonPlace& place) {
    return std::make_unique<WordPiece>(place);
}

constexpr ComponentKind<TokenModel> kinds[] = {
    {"BPE", read_bpe},
    {"WordPiece", read_wordpiece},
};

}  // namespace

Result read_token_model(const JsonPlace& place) {
    if (place.find("type")) return read_component<TokenModel>(place, "model", kinds);
    if (place.find("merges")) return read_bpe(place);
    if (place.find("max_input_chars_per_word")) return read_wordpiece(place);
    refuse_type(place, "model", "", {"BPE", "WordPiece"});
}

}  // namespace lathe::tokenizer
