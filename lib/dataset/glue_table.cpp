#include "lib/dataset/glue_table.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "lib/core/errors.hpp"
#include "lib/dataset/task_table.hpp"

namespace lathe {
namespace {

using Words = std::string_view;

constexpr std::array<Words, 2> acceptability = {"unacceptable", "acceptable"};
constexpr std::array<Words, 2> sentiment = {"negative", "positive"};
constexpr std::array<Words, 2> paraphrase = {"not_equivalent", "equivalent"};
constexpr std::array<Words, 2> duplicates = {"not_duplicate", "duplicate"};
constexpr std::array<Words, 2> two_way = {"entailment", "not_entailment"};
constexpr std::array<Words, 3> three_way = {"entailment", "neutral", "contradiction"};
// WNLI counts the other way round than RTE and QNLI.
constexpr std::array<Words, 2> winograd = {"not_entailment", "entailment"};

constexpr std::array<Words, 1> matthews_only = {"matthews"};
constexpr std::array<Words, 1> accuracy_only = {"accuracy"};
constexpr std::array<Words, 2> f1_and_accuracy = {"f1", "accuracy"};
constexpr std::array<Words, 2> correlations = {"pearson", "spearman"};

}  // namespace

std::span<const GlueTask> glue_table() {
    // clang-format off
    static constexpr std::array rows = {
        GlueTask{"cola", "sentence", "", "label", acceptability, matthews_only, true},
        GlueTask{"sst2", "sentence", "", "label", sentiment, accuracy_only},
        GlueTask{"mrpc", "#1 String", "#2 String", "Quality", paraphrase, f1_and_accuracy},
        GlueTask{"stsb", "sentence1", "sentence2", "score", {}, correlations},
        GlueTask{"qqp", "question1", "question2", "is_duplicate", duplicates, f1_and_accuracy},
        GlueTask{"mnli", "sentence1", "sentence2", "gold_label", three_way, accuracy_only},
        GlueTask{"mnli-mm", "sentence1", "sentence2", "gold_label", three_way, accuracy_only},
        GlueTask{"qnli", "question", "sentence", "label", two_way, accuracy_only},
        GlueTask{"rte", "sentence1", "sentence2", "label", two_way, accuracy_only},
        GlueTask{"wnli", "sentence1", "sentence2", "label", winograd, accuracy_only},
    };
    // clang-format on
    return rows;
}

const GlueTask& find_glue_task(std::string_view name) {
    const auto rows = glue_table();
    const auto row = std::ranges::find(rows, name, &GlueTask::name);
    if (row != rows.end()) return *row;
    throw UsageError("task " + std::string(find_task(name).name) +
                     " is multiple choice, expected a task of GLUE");
}

}  // namespace lathe
