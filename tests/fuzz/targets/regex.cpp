#include "lib/tokenizer/regex.hpp"

#include "lib/core/utf8.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace {

/// \g<1>, (?R), (?1), (?&name), (?P>name): PCRE2 may take minutes for one that calls itself, which
/// is not mended yet (docs/fuzzing.md).
bool may_call_itself(std::string_view pattern) {
    if (pattern.find("\\g") != std::string_view::npos) return true;
    for (std::size_t at = pattern.find("(?"); at != std::string_view::npos;
         at = pattern.find("(?", at + 2)) {
        const char next = at + 2 < pattern.size() ? pattern[at + 2] : '\0';
        if (std::string_view("R&P+-0123456789").find(next) != std::string_view::npos) return true;
    }
    return false;
}

}  // namespace

// A pattern of a tokenizer.json and, behind a line "=== text", a text.
LATHE_FUZZ_TARGET(regex) {
    using namespace lathe;
    const fuzz::Parts parts = fuzz::parts_of(input, {"", "text"});
    const std::string text = repair_utf8(parts.size() > 1 ? parts[1].second : parts[0].second);
    if (may_call_itself(parts[0].second)) return;
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
