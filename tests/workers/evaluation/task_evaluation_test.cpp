#include "workers/evaluation/task_evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/parallel.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/evaluation/task_evaluation_table.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const fs::path source_dir = LATHE_SOURCE_DIR;
const fs::path shared_dir = LATHE_SHARED_DIR;
const fs::path data_dir = source_dir / "tests/data/dataset";

/// What a model says of the sequences, a chunk at a time as the command does it.
SequenceScores score(const fs::path& model, const ScoredSequences& sequences,
                     const fs::path& reference = {}, std::size_t chunk_tokens = 16384) {
    ThreadPool pool(2);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    SequenceScores scores;
    for (const ScoredSequences& chunk : sequences.chunks(chunk_tokens)) {
        // By way of their text forms, which travel between ranks.
        const ScoringTask task =
            scoring_task_from_json(to_json(ScoringTask{model, reference, {}, chunk}));
        scores.append(sequence_scores_from_json(to_json(run_scoring(*backend, task))));
    }
    return scores;
}

std::unique_ptr<TaskEvaluation> task_of(const fs::path& model, const TaskQuestions& questions) {
    return make_task_evaluation(questions, ModelToRun(model).spec(), load_tokenizer(model).get());
}

// ---- multiple choice ---------------------------------------------------------------------------

const fs::path example_model = source_dir / "examples/kjv-llama";

// The four numbers: transformers 5.23.0 in float32 on the same prompts, "Question: ...\nAnswer:"
// and " " with the option, log-probabilities of the option's tokens added in float64.
TEST(ChoiceEvaluation, LogLikelihoodsAreThoseOfTransformers) {
    const auto task = task_of(example_model, {"piqa", data_dir / "piqa.jsonl"});
    const SequenceScores scores = score(example_model, task->sequences());
    const std::vector<double> expected{-35.71021984599907, -40.62619825104625, -37.708756970627014,
                                       -109.74657893852708};
    ASSERT_EQ(scores.values.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(scores.values[i], expected[i], 1e-5 * std::abs(expected[i]));
    }
    EXPECT_EQ(task->sequences().samples.tokens(), 109U);
    const TaskSummary summary = task->summarise(scores);
    EXPECT_EQ(summary.examples, 2U);
    EXPECT_EQ(summary.metrics.at(0).name, "accuracy_norm");
    EXPECT_EQ(summary.metrics.at(1).name, "accuracy");
    EXPECT_EQ(summary.metrics.at(1).value, 0.5);  // the options are 0 and 0, right are 0 and 1
    EXPECT_FALSE(summary.loss || summary.kl || summary.top1_agreement);
}

/// The first 100 questions of a file with a model, by the same program: how many are right by sum
/// and by sum over length, tokens, and the sum of all log-likelihoods.
struct Published {
    const char* model;
    const char* task;
    const char* data;
    double accuracy, accuracy_norm;
    std::size_t tokens;
    double total;
};

class SharedChoices : public ::testing::TestWithParam<Published> {};

TEST_P(SharedChoices, AgreeWithTransformers) {
    const fs::path model = shared_dir / "models" / GetParam().model;
    const fs::path data = shared_dir / "data" / GetParam().data;
    if (!exists(model) || !exists(data)) {
        GTEST_SKIP() << model << " or " << data << " is not there";
    }
    const auto task = task_of(model, {GetParam().task, data, 100});
    const SequenceScores scores = score(model, task->sequences());
    const TaskSummary summary = task->summarise(scores);
    EXPECT_EQ(task->sequences().samples.tokens(), GetParam().tokens);
    EXPECT_EQ(summary.examples, 100U);
    EXPECT_DOUBLE_EQ(summary.metrics.at(0).value, GetParam().accuracy_norm);
    EXPECT_DOUBLE_EQ(summary.metrics.at(1).value, GetParam().accuracy);
    EXPECT_NEAR(std::accumulate(scores.values.begin(), scores.values.end(), 0.0), GetParam().total,
                1e-6 * std::abs(GetParam().total));
}

// babyllama105 has 256 positions and nearly a token a character: long questions lose their
// beginning.
INSTANTIATE_TEST_SUITE_P(
    First100, SharedChoices,
    ::testing::Values(Published{"babyllama105-llama", "piqa", "piqa/test.jsonl", 0.5, 0.5, 30520,
                                -39108.887131203504},
                      Published{"kjv-llama", "piqa", "piqa/test.jsonl", 0.48, 0.45, 12988,
                                -48871.73019851749}),
    [](const auto& test) { return std::string(test.param.model).substr(0, 3); });

TEST(ChoiceEvaluation, AReferenceThatIsTheModelItselfAgrees) {
    const auto task = task_of(example_model, {"piqa", data_dir / "piqa.jsonl"});
    const SequenceScores scores = score(example_model, task->sequences(), example_model);
    EXPECT_EQ(scores.values, scores.reference_values);
    EXPECT_THAT(scores.kl, Each(0.0));
    const TaskSummary summary = task->summarise(scores);
    EXPECT_EQ(summary.kl, 0.0);
    EXPECT_EQ(summary.top1_agreement, 1.0);
    EXPECT_EQ(summary.answers.value().only_a + summary.answers.value().only_b, 0U);
    EXPECT_EQ(summary.answers.value().p_value, 1.0);
}

TEST(ChoiceEvaluation, DivergenceAndAgreementAreMeansOverTokensAndExamples) {
    const auto task = task_of(example_model, {"piqa", data_dir / "piqa.jsonl"});
    const SequenceScores scores{{-1, -2, -3, -4}, {-1, -2, -4, -3}, {1, 2, 3, 4}};
    const TaskSummary summary = task->summarise(scores);
    EXPECT_DOUBLE_EQ(summary.kl.value(),
                     10.0 / static_cast<double>(task->sequences().targets.size()));
    EXPECT_EQ(summary.top1_agreement, 0.5);
    EXPECT_EQ(summary.metrics.at(1).value, 0.5);            // options 0, 0; right are 0, 1
    EXPECT_EQ(summary.reference_metrics.at(1).value, 1.0);  // options 0, 1
}

TEST(ChoiceEvaluation, ChunksKeepEachSequencesTargets) {
    const auto task = task_of(example_model, {"piqa", data_dir / "piqa.jsonl"});
    const auto chunks = task->sequences().chunks(1);
    ASSERT_EQ(chunks.size(), 4U);
    std::vector<std::uint32_t> targets;
    for (const ScoredSequences& chunk : chunks) {
        EXPECT_EQ(chunk.samples.count(), 1U);
        EXPECT_EQ(chunk.targets.size(), chunk.n_targets.at(0));
        // All targets but the last are tokens of the sequence.
        const std::size_t n = chunk.targets.size() - 1;
        EXPECT_TRUE(std::ranges::equal(std::span(chunk.samples.ids).last(n),
                                       std::span(chunk.targets).first(n)));
        targets.insert(targets.end(), chunk.targets.begin(), chunk.targets.end());
    }
    EXPECT_EQ(targets, task->sequences().targets);
    const auto one_by_one = score(example_model, task->sequences(), {}, 1).values;
    const auto together = score(example_model, task->sequences()).values;
    for (std::size_t i = 0; i < together.size(); ++i) {
        EXPECT_NEAR(one_by_one[i], together[i], 1e-5 * std::abs(together[i]));
    }
}

TEST(ChoiceEvaluation, LongTextsLoseTheirBeginning) {
    const TaskQuestions questions{"piqa", data_dir / "piqa.jsonl", 1};
    TaskQuestions cut = questions;
    cut.max_length = 14;
    const ScoredSequences whole = task_of(example_model, questions)->sequences();
    const ScoredSequences short_ones = task_of(example_model, cut)->sequences();
    EXPECT_EQ(short_ones.targets, whole.targets);
    EXPECT_EQ(short_ones.n_targets, whole.n_targets);
    EXPECT_THAT(short_ones.samples.lengths, ElementsAre(14, 14));
    const auto last = std::span(whole.samples.ids).first(whole.samples.lengths[0]).last(14);
    EXPECT_TRUE(std::ranges::equal(std::span(short_ones.samples.ids).first(14), last));
    EXPECT_EQ(task_of(example_model, cut)->summarise({{-1, -2}, {}, {}}).n_cut, 2U);
    EXPECT_EQ(task_of(example_model, questions)->summarise({{-1, -2}, {}, {}}).n_cut, 0U);
    // An option that is longer than that is scored by its last tokens.
    cut.max_length = 3;
    const ScoredSequences least = task_of(example_model, cut)->sequences();
    EXPECT_THAT(least.n_targets, ElementsAre(3, 3));
    EXPECT_TRUE(
        std::ranges::equal(std::span(least.targets).last(3), std::span(whole.targets).last(3)));
}

// ---- sentences ---------------------------------------------------------------------------------

/// The description of a small classifier, with other labels.
ModelSpec classifier(const std::string& family, const std::vector<std::string>& labels) {
    const fs::path file = source_dir / "tests/data/parity" / family / "config.json";
    ModelSpec spec = read_model_spec(read_file(file), file.string());
    spec.labels = labels;
    return spec;
}

std::unique_ptr<TaskEvaluation> sentence_task(const std::string& task, ModelSpec spec,
                                              const std::string& file) {
    const auto tokenizer = load_tokenizer(source_dir / "tests/data/tokenizer/bert");
    spec.vocab_size = tokenizer->id_limit();  // the small model has another tokenizer
    return make_task_evaluation({task, data_dir / file}, spec, tokenizer.get());
}

TEST(SentenceEvaluation, OutputsMeanWhatTheModelCallsThem) {
    // Labels of sst2.tsv: 1, 0. Both rows say "the first output", with odds of e and of e^2.
    const SequenceScores scores{{1.0, 0.0, 2.0, 0.0}, {0.0, 1.0, 2.0, 0.0}, {0.5, 0.25}};
    const auto straight =
        sentence_task("sst2", classifier("bert", {"negative", "positive"}), "sst2.tsv")
            ->summarise(scores);
    EXPECT_EQ(straight.metrics.at(0).value, 0.5);  // right: the second
    EXPECT_NEAR(straight.loss.value(), (std::log1p(std::exp(1.0)) + std::log1p(std::exp(-2.0))) / 2,
                1e-12);
    // The reference gets both right: it says "the second output", then "the first".
    EXPECT_EQ(straight.reference_metrics.at(0).value, 1.0);
    EXPECT_NEAR(straight.reference_loss.value(),
                (std::log1p(std::exp(-1.0)) + std::log1p(std::exp(-2.0))) / 2, 1e-12);
    EXPECT_EQ(straight.answers.value().both, 1U);
    EXPECT_EQ(straight.answers.value().only_b, 1U);
    EXPECT_EQ(straight.kl, 0.375);
    EXPECT_EQ(straight.top1_agreement, 0.5);
    const auto swapped =
        sentence_task("sst2", classifier("bert", {"Positive", "Negative"}), "sst2.tsv")
            ->summarise(scores);
    EXPECT_EQ(swapped.metrics.at(0).value, 0.5);  // right: the first
    EXPECT_NEAR(swapped.loss.value(), (std::log1p(std::exp(-1.0)) + std::log1p(std::exp(2.0))) / 2,
                1e-12);
}

TEST(SentenceEvaluation, ScoresAreTheOutputItself) {
    // Facts 5 and 0.25.
    const auto summary = sentence_task("stsb", classifier("bert", {"LABEL_0"}), "stsb.tsv")
                             ->summarise({{4.0, 1.25}, {4.5, 1.25}, {0.125, 0.0}});
    EXPECT_EQ(summary.metrics.at(0).name, "pearson");
    EXPECT_DOUBLE_EQ(summary.metrics.at(0).value, 1.0);
    EXPECT_DOUBLE_EQ(summary.loss.value(), 1.0);
    EXPECT_DOUBLE_EQ(summary.kl.value(), 0.0625);
    EXPECT_FALSE(summary.top1_agreement || summary.answers);
}

TEST(SentenceEvaluation, PairsHaveSegmentsWhereTheModelHasThem) {
    const auto bert = sentence_task("mrpc", classifier("bert", {"a", "b"}), "mrpc.tsv");
    const TokenSequences& pairs = bert->sequences().samples;
    ASSERT_EQ(pairs.count(), 2U);
    ASSERT_EQ(pairs.segments.size(), pairs.ids.size());
    // [CLS] first [SEP] are 0, second [SEP] are 1.
    const auto first = std::span(pairs.ids).first(pairs.lengths[0]);
    const auto separator = std::ranges::find(first, 3U) - first.begin();
    EXPECT_EQ(pairs.segments[static_cast<std::size_t>(separator)], 0U);
    EXPECT_EQ(pairs.segments[static_cast<std::size_t>(separator) + 1], 1U);
    EXPECT_EQ(pairs.segments[pairs.lengths[0] - 1], 1U);
    const auto roberta = sentence_task("mrpc", classifier("roberta", {"a", "b"}), "mrpc.tsv");
    EXPECT_TRUE(roberta->sequences().samples.segments.empty());
    EXPECT_EQ(roberta->sequences().samples.ids, pairs.ids);
}

TEST(SentenceEvaluation, TextsAreCutToTheModelsLength) {
    ModelSpec spec = classifier("bert", {"a", "b"});
    spec.max_positions = 6;
    const auto task = sentence_task("sst2", spec, "sst2.tsv");
    EXPECT_THAT(task->sequences().samples.lengths, ElementsAre(6, 6));
    EXPECT_EQ(task->sequences().samples.ids[5], 3U) << "[SEP] stays";
}

TEST(TaskEvaluation, RefusesWhatDoesNotFit) {
    const auto refusal = [](const std::string& task, const ModelSpec& spec) {
        try {
            (void)sentence_task(task, spec, task + ".tsv");
        } catch (const DataError& error) {
            return std::string(error.what());
        }
        return std::string("none");
    };
    const ModelSpec two = classifier("bert", {"a", "b"});
    const ModelSpec llama = ModelToRun(example_model).spec();
    EXPECT_THAT(refusal("sst2", llama),
                HasSubstr("needs a sequence classifier; this model is a language model (llama)"));
    EXPECT_THAT(refusal("piqa", two),
                HasSubstr("needs a language model; this model is a classifier (bert)"));
    EXPECT_THAT(refusal("stsb", two), HasSubstr("the model has 2 outputs"));
    EXPECT_THROW((void)sentence_task("sst3", two, "sst2.tsv"), UsageError);
    EXPECT_THROW((void)sentence_task("sst2", two, "absent.tsv"), MissingInputError);
}

TEST(Scoring, RefusesAReferenceWithOtherOutputs) {
    const auto task = task_of(example_model, {"piqa", data_dir / "piqa.jsonl", 1});
    ScoringTask other{example_model, source_dir / "tests/data/parity/llama", {}, task->sequences()};
    // Ids of the one vocabulary that the other does not have.
    for (std::uint32_t& id : other.sequences.samples.ids) {
        id %= 100;
    }
    ThreadPool pool(1);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    EXPECT_THAT([&] { (void)run_scoring(*backend, other); },
                ::testing::ThrowsMessage<DataError>(HasSubstr("has 112 outputs")));
}

}  // namespace
}  // namespace lathe
