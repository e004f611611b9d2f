#include "lib/core/text_input.hpp"

#include "lib/core/json.hpp"
#include "lib/core/utf8.hpp"
#include "lib/dataset/prompt_text.hpp"
#include "tests/fuzz/fuzzing.hpp"

// Bytes as a text: encodings, UTF-8, JSON as Python writes it, what prompts are made with.
LATHE_FUZZ_TARGET(text_input) {
    using namespace lathe;
    const std::string bytes(input);
    fuzz::refuse_or([&] {
        const std::string text = text_of_bytes(bytes, "text.txt");
        fuzz::require(is_valid_utf8(text), "a text is UTF-8");
        (void)stripped(text);
        (void)capitalised(text);
        (void)without_marks(text);
        fuzz::require(n_characters(text) <= text.size(), "no more characters than bytes");
    });
    const std::string repaired = repair_utf8(bytes);
    fuzz::require(is_valid_utf8(repaired), "what is repaired is UTF-8");
    fuzz::require(is_valid_utf8(bytes) == (repaired == bytes), "what is valid stays");
    fuzz::refuse_or([&] { (void)parse_python_json(bytes, "row").dump(); });
    fuzz::require(try_parse_json(bytes).is_discarded() || !parse_json(bytes, "row").is_discarded(),
                  "both parsers agree");
}
