#pragma once

#include <memory>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace lathe::tokenizer {

/// Bytes [begin, end) of a text.
struct Span {
    std::size_t begin;
    std::size_t end;
};

/// A compiled pattern. Matching changes nothing in it, so threads may share it.
class Regex {
public:
    /// @throws DataError  naming the pattern, what is wrong with it and where
    explicit Regex(std::string_view pattern);

    /// Every match in `text` (valid UTF-8) from left to right, appended to `matches`. Matches do
    /// not overlap; an empty one counts unless it directly follows the match before it.
    /// @throws DataError  if the matcher gives up (its limits guard against runaway backtracking)
    void find_all(std::string_view text, std::vector<Span>& matches) const;

private:
    struct CodeDeleter {
        void operator()(pcre2_real_code_8* code) const;
    };
    std::unique_ptr<pcre2_real_code_8, CodeDeleter> code_;
    bool has_jit_ = false;
};

}  // namespace lathe::tokenizer
