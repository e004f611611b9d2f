#include "workers/evaluation/task_evaluation_table.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/dataset/task_table.hpp"
#include "workers/evaluation/choice_evaluation.hpp"
#include "workers/evaluation/sentence_evaluation.hpp"

namespace lathe {
namespace {

/// Sentences of GLUE are cut there in what is published of it.
constexpr std::size_t sentence_length = 128;
/// For models without a limit of their own; that of lm-evaluation-harness.
constexpr std::size_t choice_length = 2048;

void require_head(const DatasetTask& task, const ModelSpec& spec) {
    const bool is_choice = task.kind == TaskKind::multiple_choice;
    const HeadKind needed = is_choice ? HeadKind::language_model : HeadKind::classifier;
    if (spec.head == needed) {
        return;
    }
    const auto* const words =
        is_choice ? " is multiple choice and needs a language model; this model is a classifier ("
                  : " needs a sequence classifier; this model is a language model (";
    throw DataError("task " + std::string(task.name) + words + spec.family + ")");
}

template <class Example>
std::vector<Example> first_of(std::vector<Example> examples, std::size_t limit) {
    if (limit > 0 && examples.size() > limit) {
        examples.erase(examples.begin() + static_cast<std::ptrdiff_t>(limit), examples.end());
    }
    return examples;
}

}  // namespace

std::unique_ptr<TaskEvaluation> make_task_evaluation(const TaskQuestions& questions,
                                                     const ModelSpec& spec,
                                                     const Tokenizer* tokenizer) {
    const DatasetTask& task = find_task(questions.task);
    require_head(task, spec);
    if (tokenizer == nullptr) {
        throw MissingInputError("task " + questions.task +
                                " needs the model's tokenizer (tokenizer.json or tokenizer.model), "
                                "and it has none");
    }
    const bool is_choice = task.kind == TaskKind::multiple_choice;
    const std::size_t usual = is_choice ? choice_length : sentence_length;
    const std::size_t max_length =
        std::min(questions.max_length > 0 ? questions.max_length : usual, spec.max_positions);
    if (is_choice) {
        return std::make_unique<ChoiceEvaluation>(
            task, first_of(read_multiple_choice(questions.data, task.name), questions.limit),
            *tokenizer, max_length);
    }
    return std::make_unique<SentenceEvaluation>(
        find_glue_task(task.name), first_of(read_glue(questions.data, task.name), questions.limit),
        spec, *tokenizer, max_length);
}

}  // namespace lathe
