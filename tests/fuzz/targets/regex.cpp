#include "lib/tokenizer/regex.hpp"

#include "lib/core/utf8.hpp"
#include "tests/fuzz/fuzzing.hpp"

// A pattern of a tokenizer.json and, behind a line "=== text", a text.
LATHE_FUZZ_TARGET(regex) {
    using namespace lathe;
    const fuzz::Parts parts = fuzz::parts_of(input, {"", "text"});
    const std::string text = repair_utf8(parts.size() > 1 ? parts[1].second : parts[0].second);
    fuzz::refuse_or([&] {
        const tokenizer::Regex regex(repair_utf8(parts[0].second));
        std::vector<tokenizer::Span> matches;
        regex.find_all(text, matches);
        std::size_t end = 0;
        for (const auto& match : matches) {
            fuzz::require(
                end <= match.begin && match.begin <= match.end && match.end <= text.size(),
                "matches in the order of the text");
            end = match.end;
        }
    });
}
