#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// One question as texts to score: option i is answered with the log-likelihood of continuations[i]
/// after contexts[i]. The three lists have one entry an option, two or more.
///
/// The prompts are those of EleutherAI/lm-evaluation-harness (tasks piqa, arc_*, hellaswag,
/// winogrande, no examples before the question). As there, the space between context and
/// continuation, and any white space the context would end with, begins the continuation: so
/// contexts[i] + continuations[i] is the whole text, and tokens may be cut at the border.
struct ChoiceExample {
    std::vector<std::string> contexts;
    std::vector<std::string> continuations;
    /// Characters (code points) of the option itself, without what moved to its front: what
    /// `accuracy_norm` divides by. The harness counts characters, not bytes; for ASCII text they
    /// are the same.
    std::vector<std::size_t> lengths;
    std::size_t answer = 0;  ///< index of the right option
};

/// A row of the table of multiple-choice tasks. The views are of static storage.
struct ChoiceTask {
    std::string_view name;
    std::span<const std::string_view> metrics;
};

[[nodiscard]] std::span<const ChoiceTask> choice_table();

/// Reads a labelled JSON Lines file, one question a line, in the forms the data sets come in:
///
/// | task | keys | label |
/// |---|---|---|
/// | piqa | goal, sol1, sol2, label | 0 or 1 |
/// | hellaswag | activity_label, ctx_a, ctx_b, endings, label | index, as number or string |
/// | arc_easy, arc_challenge | question, choices: {text, label}, answerKey | one of choices.label |
/// | winogrande | sentence with `_`, option1, option2, answer | "1" or "2" |
/// | any | question, choices: [text], label | index of the choice |
///
/// In the last form `question` stands for goal, for the text before the ending, for question, for
/// sentence. Other keys are passed over.
///
/// Context and continuation: "Question: {question}\nAnswer:" and the option (piqa, arc);
/// "{activity_label}: {ctx_a} {Ctx_b}" and the ending, both without scraping marks (hellaswag); the
/// sentence up to `_` with the option put in and the rest of the sentence (winogrande: here the
/// contexts differ and the continuation is the same).
/// @throws MissingInputError, IoError
/// @throws UsageError  if there is no such task
/// @throws DataError   naming file, line, what was found and what was expected
[[nodiscard]] std::vector<ChoiceExample> read_multiple_choice(const std::filesystem::path& file,
                                                              std::string_view task);

}  // namespace lathe
