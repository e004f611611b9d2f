#include "lib/config/job_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "tests/config/job_samples.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

TEST(ReadJob, Defaults) {
    const JobConfig job = read(required_keys);
    EXPECT_EQ(job.model, "m");
    EXPECT_EQ(job.output, "o");
    EXPECT_EQ(job.seed, 0U);
    EXPECT_THAT(job.calibration.data, IsEmpty());
    EXPECT_EQ(job.calibration.num_calibration_samples, 128U);
    EXPECT_EQ(job.calibration.max_seq_length, 2048U);
    EXPECT_EQ(job.calibration.precision, CalibrationConfig::Precision::fp32);
    EXPECT_EQ(job.budget, (Budget{Budget::Kind::ratio, 4.0}));
    EXPECT_THAT(job.reading.ignore, IsEmpty());
    EXPECT_EQ(job.search.num_evaluation_samples, 16U);
    EXPECT_THAT(job.evaluate.tasks, IsEmpty());
    EXPECT_EQ(job.evaluate.max_seq_length, 2048U);
    EXPECT_EQ(job.evaluate.limit, 0U);
    EXPECT_THAT(job.exports, IsEmpty());
    EXPECT_EQ(job.runtime.backend, "cpu");
    EXPECT_EQ(job.runtime.instruction_set, "auto");
    EXPECT_EQ(job.runtime.worker_timeout, 600.0);

    EXPECT_THAT(job.candidates, IsEmpty());
}

TEST(ReadJob, OrdersNeuronsWhereTheSectionIs) {
    EXPECT_FALSE(read(required_keys).ffsplit.has_value());
    EXPECT_FALSE(read(required_keys + "ffsplit: none").ffsplit.has_value());
    for (const char* section : {"ffsplit:", "ffsplit: {}", "ffsplit: {score: second_moment}"}) {
        const JobConfig job = read(required_keys + section);
        ASSERT_TRUE(job.ffsplit.has_value()) << section;
        EXPECT_EQ(job.ffsplit->score, FfsplitConfig::Score::second_moment) << section;
    }
    EXPECT_EQ(read(required_keys + "ffsplit: {score: random}").ffsplit->score,
              FfsplitConfig::Score::random);
}

TEST(ReadJob, EveryKey) {
    const JobConfig job = read(full_job);
    EXPECT_EQ(job.model, "models/a b");
    EXPECT_EQ(job.seed, 18446744073709551615ULL);
    EXPECT_THAT(job.calibration.data, ElementsAre("a.txt", "b, c.jsonl"));
    EXPECT_EQ(job.calibration.num_calibration_samples, 64U);
    EXPECT_EQ(job.calibration.max_seq_length, 256U);
    EXPECT_EQ(job.budget, (Budget{Budget::Kind::bits_per_weight, 3.5}));
    ASSERT_EQ(job.candidates.size(), 3U);
    EXPECT_EQ(job.candidates[0].method, "nm");
    EXPECT_EQ(job.candidates[0].place.text, "job.yaml:18:5");
    ASSERT_EQ(job.candidates[0].keys.size(), 2U);
    EXPECT_EQ(job.candidates[0].keys[0].name, "pattern");
    EXPECT_EQ(job.candidates[0].keys[0].place.text, "job.yaml:19:5");
    EXPECT_THAT(job.candidates[0].keys[0].values, ElementsAre("2:4", "4:8"));
    EXPECT_THAT(job.candidates[0].keys[1].values, ElementsAre("a \"quote\" \\ and: more"));
    EXPECT_THAT(job.candidates[1].keys[0].values, ElementsAre("3"));
    const std::vector<CandidateEntry>& light = job.candidates[2].keys[1].entries;
    ASSERT_EQ(light.size(), 2U);
    EXPECT_EQ(light[0].method, "nm");
    EXPECT_THAT(light[0].keys[0].values, ElementsAre("1", "2"));
    EXPECT_EQ(light[1].method, "none");
    EXPECT_THAT(light[1].keys, IsEmpty());
    EXPECT_THAT(job.reading.ignore, ElementsAre("lm_head", "re:.*[0-9]gate"));
    ASSERT_TRUE(job.ffsplit.has_value());
    EXPECT_EQ(job.ffsplit->score, FfsplitConfig::Score::frequency);
    EXPECT_THAT(job.search.evaluation, ElementsAre("held.txt"));
    EXPECT_EQ(job.search.num_evaluation_samples, 3U);
    EXPECT_THAT(job.evaluate.perplexity, ElementsAre("t1.txt", "t2.txt"));
    ASSERT_EQ(job.evaluate.tasks.size(), 2U);
    EXPECT_EQ(job.evaluate.tasks[0].task, "sst2");
    EXPECT_EQ(job.evaluate.tasks[0].data, "dev, all.tsv");
    EXPECT_EQ(job.evaluate.tasks[0].max_seq_length, 0U);
    EXPECT_EQ(job.evaluate.tasks[1].task, "piqa");
    EXPECT_EQ(job.evaluate.tasks[1].max_seq_length, 300U);
    EXPECT_EQ(job.evaluate.max_seq_length, 77U);
    EXPECT_EQ(job.evaluate.limit, 12U);
    EXPECT_THAT(job.exports, ElementsAre("hf"));
    EXPECT_EQ(job.runtime.backend, "reference");
    EXPECT_EQ(job.runtime.threads, 3U);
    EXPECT_EQ(job.runtime.max_walltime, 5405.0);
    EXPECT_EQ(job.runtime.worker_timeout, 12.5);
}

TEST(ReadJob, AMemoryLimitIsASizeOrThatOfTheNode) {
    const auto limit_of = [](const std::string& text) {
        return read(required_keys + "runtime: {memory_limit: " + text + "}").runtime.memory_limit;
    };
    EXPECT_EQ(limit_of("16GB"), 16'000'000'000U);
    EXPECT_EQ(limit_of("2GiB"), std::uint64_t{2} << 30);
    EXPECT_EQ(limit_of("auto"), 0U);
}

TEST(ReadJob, AnEmptySectionIsItsDefaults) {
    const JobConfig job = read(required_keys + "search:\nruntime:\n  # threads: 4\n");
    EXPECT_EQ(job.search.num_evaluation_samples, 16U);
    EXPECT_EQ(job.runtime.threads, 0U);
}

TEST(ReadJob, BudgetForms) {
    const auto budget = [](const std::string& text) { return read(required_keys + text).budget; };
    EXPECT_EQ(budget("budget: 3.5bpw"), (Budget{Budget::Kind::bits_per_weight, 3.5}));
    EXPECT_EQ(budget("budget: 35GB"), (Budget{Budget::Kind::bytes, 35e9}));
    EXPECT_EQ(budget("budget: {ratio: 4}"), (Budget{Budget::Kind::ratio, 4.0}));
    EXPECT_EQ(budget("budget: {bytes: 35GB}"), (Budget{Budget::Kind::bytes, 35e9}));
    EXPECT_EQ(budget("budget: {bytes: 123456}"), (Budget{Budget::Kind::bytes, 123456.0}));
    EXPECT_EQ(budget("budget: {bits_per_weight: 2}"), (Budget{Budget::Kind::bits_per_weight, 2.0}));
}

TEST(ReadJob, PrecisionOfCalibration) {
    const JobConfig job = read(required_keys + "calibration: {precision: bf16}");
    EXPECT_EQ(job.calibration.precision, CalibrationConfig::Precision::bf16);
}

TEST(ReadJob, ShortForms) {
    const JobConfig job = read(required_keys + "calibration: {nsamples: 7, seqlen: 32}");
    EXPECT_EQ(job.calibration.num_calibration_samples, 7U);
    EXPECT_EQ(job.calibration.max_seq_length, 32U);
    EXPECT_THAT(
        [] {
            (void)read(required_keys + "calibration: {nsamples: 7, num_calibration_samples: 7}");
        },
        ThrowsMessage<UsageError>(
            HasSubstr("job.yaml:3:15: calibration.nsamples is a short form of "
                      "num_calibration_samples, which is given at job.yaml:3:28")));
}

TEST(ReadJob, Walltime) {
    const auto walltime = [](const std::string& text) {
        return read(required_keys + "runtime: {max_walltime: " + text + "}").runtime.max_walltime;
    };
    EXPECT_EQ(walltime("90"), 90.0);
    EXPECT_EQ(walltime("0"), 0.0);
    EXPECT_EQ(walltime("0.5"), 0.5);
    EXPECT_EQ(walltime("\"90:00\""), 5400.0);
    EXPECT_EQ(walltime("48:00:01"), 172801.0);
    for (const char* text : {"-1", "1:2:3:4", "1:60", "1:5", "1:60:00", ":30", "1:", "1::00",
                             "a:00", "-1:00", "nan", "1e10", "soon", "[]"}) {
        EXPECT_THROW((void)walltime(text), UsageError) << text;
    }
}

struct Refusal {
    const char* yaml;  ///< after the two required keys, so its first line is line 3
    const char* message;
};

class ReadJobRefuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(ReadJobRefuses, WithPlaceAndReason) {
    EXPECT_THAT([] { (void)read(required_keys + GetParam().yaml); },
                ThrowsMessage<UsageError>(HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Jobs, ReadJobRefuses,
    ::testing::Values(
        Refusal{
            "modle: x",
            "job.yaml:3:1: unknown key \"modle\"; did you mean \"model\"? valid keys: model, "
            "output, seed, calibration, slice, ffsplit, serve, budget, candidates, kept_tensors, "
            "ignore, allow_nan_rows, search, refine, "
            "evaluate, export, runtime"},
        Refusal{"model: x", "job.yaml:3:1: key \"model\" is given twice, first at job.yaml:1:1"},
        Refusal{"ffsplit: {score: best}",
                "ffsplit.score is \"best\"; expected second_moment, mean, frequency, removal or "
                "random"},
        Refusal{"ffsplit: {width: 3}", "unknown key \"width\""},
        Refusal{"ffsplit: true", "ffsplit is \"true\""},
        Refusal{"slice: {}", "slice has neither of sparsity and parameter_reduction"},
        Refusal{"slice: {sparsity: 0.1, parameter_reduction: 0.1}", "slice has both of"},
        Refusal{"slice: {sparsity: 0.95}",
                "slice.sparsity is \"0.95\"; expected a number from 0 to below 0.95"},
        Refusal{"slice: {sparsity: -0.1}", "expected a number from 0 to below 0.95"},
        Refusal{"slice: {sparsity: 0.1, round_interval: 0}", "slice.round_interval is \"0\""},
        Refusal{"slice: {sparsity: 0.1, order: reverse}",
                "slice.order is \"reverse\"; expected dense or sequential"},
        Refusal{"slice: {sparsity: 0.1, head: 1}", "slice.head is \"1\"; expected false or true"},
        Refusal{"slice: {sparsity: 0.1, rotation: global, order: sequential}",
                "job.yaml:3:8: slice: one global rotation comes from all boundaries at once"},
        Refusal{"slice: {sparsity: 0.1, rotation: global, widths: energy}",
                "one global rotation has one width"},
        Refusal{"slice: {sparsity: 0.1, rotation: global, signal: raw}",
                "expected signal: normalised with rotation: global"},
        Refusal{"slice: {sparsity: 0.1, order: sequential, touch_up: 1}",
                "expected touch_up: 0 with order: sequential"},
        Refusal{"slice: {sparsity: 0.1, order: sequential, signal: normalised}",
                "signal: normalised is for order: dense and touch_up: 0"},
        Refusal{"slice: {sparsity: 0.1, order: sequential, widths: energy}",
                "expected order: dense and touch_up: 0"},
        Refusal{"refine: often", "refine is \"often\"; expected none or sequential"},
        Refusal{"search: {population: 2}",
                "job.yaml:3:10: unknown key \"population\" in search; valid keys: evaluation, "
                "num_evaluation_samples, scores, strategy, generations, offspring, tied_blocks"},
        Refusal{"search: {scores: fisher}",
                "search.scores is \"fisher\"; expected divergence, gradient or both"},
        Refusal{"search: {strategy: annealing}",
                "search.strategy is \"annealing\"; expected homogeneous, greedy, knapsack or "
                "evolution"},
        Refusal{"search: {speedup: fast}",
                "search.speedup is \"fast\"; expected a number from 0 to below 1000"},
        Refusal{"search: {kernel_tokens: 0}", "search.kernel_tokens is \"0\""},
        Refusal{"search: {tied_blocks: 0}", "search.tied_blocks is \"0\""},
        Refusal{"calibration:\n  max_seq_len: 5",
                "job.yaml:4:3: unknown key \"max_seq_len\" in calibration; valid keys: data, "},
        Refusal{"seed: -1", "job.yaml:3:7: seed is \"-1\"; expected a whole number from 0 to 1844"},
        Refusal{"seed: 18446744073709551616", "expected a whole number"},
        Refusal{"seed: 1.5", "seed is \"1.5\""},
        Refusal{"seed: \"1\"", "seed is the quoted text \"1\""},
        Refusal{"seed:", "job.yaml:3:1: seed is nothing"}, Refusal{"seed: [1]", "seed is a list"},
        Refusal{"calibration: 5", "job.yaml:3:14: calibration is \"5\"; expected a map of keys"},
        Refusal{"calibration: {data: {}}",
                "calibration.data is a map; expected a path or a list of paths"},
        Refusal{"calibration: {data: [a, [b]]}",
                "job.yaml:3:25: an item of calibration.data is a "},
        Refusal{"calibration: {data: ''}", "calibration.data is the quoted text \"\""},
        Refusal{"calibration: {num_calibration_samples: 0}",
                "job.yaml:3:40: calibration.num_calibration_samples is \"0\"; expected a whole "
                "number from 1 to"},
        Refusal{"calibration: {max_seq_length: 1}", "expected a whole number from 2 to"},
        Refusal{"calibration: {precision: int8}", "calibration.precision is \"int8\"; expected"},
        Refusal{"evaluate: {max_seq_length: 99999999999}", "evaluate.max_seq_length is"},
        Refusal{"budget: 4y", "job.yaml:3:9: budget \"4y\": unknown unit \"y\""},
        Refusal{"budget: [4x]", "budget is a list; expected 4x, 35GB"},
        Refusal{"budget:", "budget is nothing"},
        Refusal{"budget: {}", "budget has 0 keys; expected one of ratio, bytes, bits_per_weight"},
        Refusal{"budget: {ratio: 4, bytes: 5}", "budget has 2 keys"},
        Refusal{"budget: {ratios: 4}", "unknown key \"ratios\" in budget; did you mean \"ratio\"?"},
        Refusal{"budget: {ratio: 4x}", "budget.ratio is \"4x\"; expected a number"},
        Refusal{"budget: {ratio: -4}", "must be above zero"},
        Refusal{"budget: {ratio: 0.25}", "4x is a quarter of the source's bytes"},
        Refusal{"budget: {bits_per_weight: .nan}", "expected a number"},
        Refusal{"budget: {bytes: 4x}", "budget.bytes is \"4x\"; expected a size such as 35GB"},
        Refusal{"candidates: dense", "candidates is \"dense\"; expected a list of {method: NAME"},
        Refusal{"candidates: []", "candidates is empty"},
        Refusal{"candidates: [dense]", "candidates[0] is \"dense\"; expected a map of keys"},
        Refusal{"candidates:\n  - {num_bits: 4}",
                "job.yaml:4:5: candidates[0] has no key \"method\""},
        Refusal{"candidates: [{method: a}, {method: b, k: {}}]",
                "candidates[1].k has no key \"method\""},
        Refusal{"candidates: [{method: a, k: []}]", "candidates[0].k is an empty list"},
        Refusal{"candidates: [{method: a, k: [1, ~]}]", "an item of candidates[0].k is nothing"},
        Refusal{"candidates: [{method: a, k: 1, k: 2}]", "job.yaml:3:32: key \"k\" is given twice"},
        Refusal{"evaluate: {tasks: sst2}",
                "evaluate.tasks is \"sst2\"; expected a list of {task: NAME, data: FILE}"},
        Refusal{"evaluate: {tasks: [{data: x}]}",
                "job.yaml:3:20: evaluate.tasks[0] has no key \"task\"; expected {task: NAME"},
        Refusal{"evaluate: {tasks: [{task: a, data: x}, {task: b}]}",
                "evaluate.tasks[1] has no key \"data\""},
        Refusal{"evaluate: {tasks: [{task: a, date: x}]}",
                "unknown key \"date\" in evaluate.tasks[0]; did you mean \"data\"?"},
        Refusal{"evaluate: {tasks: [{task: a, data: x, max_seq_length: long}]}",
                "evaluate.tasks[0].max_seq_length is \"long\""},
        Refusal{"evaluate: {limit: -1}", "evaluate.limit is \"-1\"; expected a whole number"},
        Refusal{"ignore: lm_head", "ignore is \"lm_head\"; expected a list of texts"},
        Refusal{"export: hf", "export is \"hf\"; expected a list"},
        Refusal{"export: [hf, awq]",
                "job.yaml:3:14: unknown export format \"awq\"; known: hf, compressed-tensors, "
                "gguf, mlx"},
        Refusal{"runtime: {backend: gpu}",
                "runtime.backend is \"gpu\"; expected reference, cpu or cuda"},
        Refusal{"runtime: {instruction_set: sse9}",
                "runtime.instruction_set is \"sse9\"; expected auto, generic, avx2, avx512, "
                "avx512vnni, avx512vbmi, avx512bf16 or avx512amx"},
        Refusal{"runtime: {threads: 5000}", "expected a whole number from 0 to 4096"},
        Refusal{"runtime: {worker_timeout: 0}",
                "runtime.worker_timeout is \"0\"; expected a number above 0"},
        Refusal{"runtime: {memory_limit: 4x}", "runtime.memory_limit is \"4x\"; expected a size"},
        Refusal{"runtime: {max_walltime: 1:99}", "expected seconds from 0 (none) to 1e9, HH:MM:SS"},
        Refusal{"---\nseed: 1", "job.yaml:4:1: a second document begins"},
        Refusal{"seed:\n\t- 1", "job.yaml:4:2: not YAML"}));

TEST(ReadJob, WhatIsMissing) {
    EXPECT_THAT([] { (void)read("output: o"); },
                ThrowsMessage<UsageError>(HasSubstr("job.yaml: no key \"model\"")));
    EXPECT_THAT([] { (void)read("model: m"); },
                ThrowsMessage<UsageError>(HasSubstr("job.yaml: no key \"output\"")));
    EXPECT_THAT([] { (void)read_job("", "", {}); },
                ThrowsMessage<UsageError>(HasSubstr("job: no key \"model\"")));
    EXPECT_THAT([] { (void)read("- a\n- b\n"); },
                ThrowsMessage<UsageError>(HasSubstr("job.yaml:1:1: the job is a list")));
}

TEST(ReadJob, TheExample) {
    const std::string file = LATHE_SOURCE_DIR "/configs/example.yaml";
    const JobConfig job = read_job(read_file(file), file, {});
    EXPECT_EQ(job.model, "examples/kjv-llama");
    EXPECT_EQ(job.output, "runs/example");
    EXPECT_THAT(job.calibration.data, ElementsAre("examples/kjv/train.txt"));
    EXPECT_EQ(job.calibration.num_calibration_samples, 64U);
    EXPECT_EQ(job.calibration.max_seq_length, 256U);
    EXPECT_EQ(job.budget, (Budget{Budget::Kind::ratio, 4.0}));
    EXPECT_THAT(job.search.evaluation, ElementsAre("examples/kjv/validation.txt"));
    EXPECT_EQ(job.search.num_evaluation_samples, 16U);
    EXPECT_THAT(job.evaluate.perplexity, ElementsAre("examples/kjv/test.txt"));
    EXPECT_EQ(job.evaluate.max_seq_length, 256U);
    EXPECT_THAT(job.exports, ElementsAre("hf"));
}

}  // namespace
}  // namespace lathe
