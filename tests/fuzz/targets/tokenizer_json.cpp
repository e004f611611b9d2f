#include "lib/tokenizer/tokenizer_json.hpp"

#include "lib/core/json.hpp"
#include "tests/fuzz/targets/tokenizing.hpp"

// A tokenizer.json of any kind and, behind a line "=== text", a text.
LATHE_FUZZ_TARGET(tokenizer_json) {
    using namespace lathe;
    const fuzz::Parts parts = fuzz::parts_of(input, {"", "text"});
    std::string_view text = fuzz::some_text;
    if (parts.size() > 1) text = parts[1].second;
    fuzz::refuse_or([&] {
        const auto tokenizer = tokenizer::make_tokenizer(
            {parse_json(parts[0].second, "tokenizer.json"), "tokenizer.json"});
        fuzz::use(*tokenizer, text);
    });
}
