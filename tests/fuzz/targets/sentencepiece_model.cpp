#include "tests/fuzz/targets/tokenizing.hpp"

// tokenizer.model, of SentencePiece.
LATHE_FUZZ_TARGET(sentencepiece_model) {
    using namespace lathe;
    const auto file = fuzz::put("tokenizer.model", input);
    fuzz::refuse_or([&] { fuzz::use(*load_tokenizer_file(file), fuzz::some_text); });
}
