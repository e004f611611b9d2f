#pragma once

#include <memory>

#include "lib/tokenizer/pattern.hpp"
#include "lib/tokenizer/pre_tokenized_text.hpp"

namespace lathe::tokenizer {

/// What becomes of the matches when words are cut at them.
enum class SplitBehavior {
    removed,               ///< dropped
    isolated,              ///< each a word
    merged_with_previous,  ///< joined to what comes before
    merged_with_next,      ///< joined to what comes after
    contiguous,            ///< neighbouring matches joined to one word
};

/// "Removed", "Isolated" and so on. @throws DataError
[[nodiscard]] SplitBehavior read_split_behavior(const JsonPlace& place);

/// Cuts words at the matches of a pattern.
class Splitter {
public:
    /// With `invert`, what does not match counts as the match.
    Splitter(std::unique_ptr<Pattern> pattern, SplitBehavior behavior, bool invert = false);

    void apply(PreTokenizedText& text) const;

private:
    std::unique_ptr<Pattern> pattern_;
    SplitBehavior behavior_;
    bool invert_;
};

}  // namespace lathe::tokenizer
