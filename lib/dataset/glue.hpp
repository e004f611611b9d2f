#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// A text, or two that belong together.
struct TextPair {
    std::string first;
    std::string second;  ///< empty: there is one text only

    bool operator==(const TextPair&) const = default;
};

/// One example of a sentence task.
struct LabelledText {
    std::string first;
    std::string second;       ///< empty: the task has one sentence
    std::uint32_t label = 0;  ///< index into GlueTask::labels; 0 where the task has scores
    double score = 0.0;       ///< STS-B: similarity, 0 to 5; 0 where the task has labels

    bool operator==(const LabelledText&) const = default;
};

/// Reads a labelled file of a GLUE task (`train.tsv`, `dev.tsv`; `dev_mismatched.tsv` for mnli-mm):
/// UTF-8, tab separated, one example a line, no quoting (a quotation mark is text). Columns are
/// found by the names in the header, in any order:
///   1. GLUE's own (GlueTask), or
///   2. the plain form `sentence label`, for pairs `sentence1 sentence2 label`;
///   3. for cola also without header: source, label, star, sentence.
/// A label is one of the task's words or the number of one; a score is 0 to 5.
///
/// GLUE's test files hold no labels and cannot be evaluated; they are refused.
/// @throws MissingInputError, IoError
/// @throws UsageError  if there is no such task
/// @throws DataError   naming file, line, what was found and what was expected
[[nodiscard]] std::vector<LabelledText> read_glue(const std::filesystem::path& file,
                                                  std::string_view task);

/// The sentences or pairs of a file of any task of GLUE, without labels, so that test files serve
/// as well. The columns are found by the names of read_glue(); a file with the names of a pair has
/// pairs. Rows with too few columns, of which QQP's train.tsv has some, and rows with an empty
/// sentence are passed over.
/// @throws MissingInputError, IoError
/// @throws DataError  naming file, line, what was found and what was expected
[[nodiscard]] std::vector<TextPair> read_sentences(const std::filesystem::path& file);

}  // namespace lathe
