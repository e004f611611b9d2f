#include "lib/tokenizer/splitter.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace lathe::tokenizer {
namespace {

constexpr std::pair<std::string_view, SplitBehavior> behaviors[] = {
    {"Removed", SplitBehavior::removed},
    {"Isolated", SplitBehavior::isolated},
    {"MergedWithPrevious", SplitBehavior::merged_with_previous},
    {"MergedWithNext", SplitBehavior::merged_with_next},
    {"Contiguous", SplitBehavior::contiguous},
};

/// Whether the stretch at `i` continues the word of the one before it.
bool joins_previous(const std::vector<Stretch>& stretches, std::size_t i, SplitBehavior behavior) {
    const bool match = stretches[i].is_match;
    const bool previous_match = i > 0 && stretches[i - 1].is_match;
    switch (behavior) {
        case SplitBehavior::merged_with_previous:
            return i > 0 && match && !previous_match;
        case SplitBehavior::merged_with_next:
            return previous_match && !match;
        case SplitBehavior::contiguous:
            return i > 0 && match == previous_match;
        default:
            return false;
    }
}

/// Turns stretches of the word that begins at `offset` into words.
void join(const std::vector<Stretch>& stretches, SplitBehavior behavior, std::size_t offset,
          std::vector<Span>& words) {
    const std::size_t n_before = words.size();
    for (std::size_t i = 0; i < stretches.size(); ++i) {
        const Stretch& stretch = stretches[i];
        if (behavior == SplitBehavior::removed && stretch.is_match) continue;
        if (joins_previous(stretches, i, behavior)) {
            words.back().end = offset + stretch.end;
        } else {
            words.push_back({offset + stretch.begin, offset + stretch.end});
        }
    }
    // Empty matches may have left empty words.
    const auto is_empty = [](const Span& word) { return word.begin == word.end; };
    words.erase(std::remove_if(words.begin() + static_cast<std::ptrdiff_t>(n_before), words.end(),
                               is_empty),
                words.end());
}

}  // namespace

SplitBehavior read_split_behavior(const JsonPlace& place) {
    for (const auto& [name, behavior] : behaviors) {
        if (name == place.string()) return behavior;
    }
    place.fail("behavior \"" + place.string() +
               "\" is not known; known are Removed, Isolated, MergedWithPrevious, "
               "MergedWithNext, Contiguous");
}

Splitter::Splitter(std::unique_ptr<Pattern> pattern, SplitBehavior behavior, bool invert)
    : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

void Splitter::apply(PreTokenizedText& text) const {
    std::vector<Span> words;
    words.reserve(text.words.size());
    std::vector<Stretch> stretches;
    for (const Span& word : text.words) {
        stretches.clear();
        pattern_->cut(text.word(word), stretches);
        if (invert_) {
            for (Stretch& stretch : stretches) stretch.is_match = !stretch.is_match;
        }
        join(stretches, behavior_, word.begin, words);
    }
    text.words = std::move(words);
}

}  // namespace lathe::tokenizer
