#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/config/job_config.hpp"
#include "tests/config/job_samples.hpp"

namespace lathe {
namespace {

void expect_same(const std::vector<CandidateEntry>& a, const std::vector<CandidateEntry>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].method, b[i].method);
        ASSERT_EQ(a[i].keys.size(), b[i].keys.size());
        for (std::size_t k = 0; k < a[i].keys.size(); ++k) {
            EXPECT_EQ(a[i].keys[k].name, b[i].keys[k].name);
            EXPECT_EQ(a[i].keys[k].values, b[i].keys[k].values);
            expect_same(a[i].keys[k].entries, b[i].keys[k].entries);
        }
    }
}

/// All fields of a job but the places. The binding fails to compile when a field is added.
void expect_same(const JobConfig& a, const JobConfig& b) {
    const auto& [model, output, seed, calibration, slice, ffsplit, serve, budget, candidates, kept,
                 reading, search, refine, evaluate, exports, runtime] = a;
    EXPECT_EQ(model, b.model);
    EXPECT_EQ(output, b.output);
    EXPECT_EQ(seed, b.seed);
    EXPECT_EQ(calibration.data, b.calibration.data);
    EXPECT_EQ(calibration.num_calibration_samples, b.calibration.num_calibration_samples);
    EXPECT_EQ(calibration.max_seq_length, b.calibration.max_seq_length);
    ASSERT_EQ(slice.has_value(), b.slice.has_value());
    if (slice) {
        const auto& [sparsity, reduction, interval, by_heads, rotation, order, touch_up, signal,
                     weighting, widths, orientation, head, tables, refit] = *slice;
        EXPECT_EQ(sparsity, b.slice->sparsity);
        EXPECT_EQ(reduction, b.slice->parameter_reduction);
        EXPECT_EQ(interval, b.slice->round_interval);
        EXPECT_EQ(by_heads, b.slice->heads_divide_width);
        EXPECT_EQ(rotation, b.slice->rotation);
        EXPECT_EQ(order, b.slice->order);
        EXPECT_EQ(touch_up, b.slice->touch_up);
        EXPECT_EQ(signal, b.slice->signal);
        EXPECT_EQ(weighting, b.slice->weighting);
        EXPECT_EQ(widths, b.slice->widths);
        EXPECT_EQ(orientation, b.slice->orientation);
        EXPECT_EQ(head, b.slice->head);
        EXPECT_EQ(tables, b.slice->tables);
        EXPECT_EQ(refit, b.slice->refit);
    }
    ASSERT_EQ(ffsplit.has_value(), b.ffsplit.has_value());
    if (ffsplit) {
        const auto& [score] = *ffsplit;
        EXPECT_EQ(score, b.ffsplit->score);
    }
    ASSERT_EQ(serve.has_value(), b.serve.has_value());
    if (serve) {
        const auto& [reader, devices, low_bits, place] = *serve;
        EXPECT_EQ(reader, b.serve->reader);
        EXPECT_EQ(devices, b.serve->tensor_parallel);
        EXPECT_EQ(low_bits, b.serve->low_bits);
    }
    EXPECT_EQ(budget, b.budget);
    expect_same(candidates, b.candidates);
    expect_same(kept, b.kept_tensors);
    EXPECT_EQ(reading.ignore, b.reading.ignore);
    EXPECT_EQ(reading.allow_nan_rows, b.reading.allow_nan_rows);
    EXPECT_EQ(search.evaluation, b.search.evaluation);
    EXPECT_EQ(search.num_evaluation_samples, b.search.num_evaluation_samples);
    EXPECT_EQ(search.scores, b.search.scores);
    EXPECT_EQ(search.strategy, b.search.strategy);
    EXPECT_EQ(search.generations, b.search.generations);
    EXPECT_EQ(search.offspring, b.search.offspring);
    EXPECT_EQ(search.tied_blocks, b.search.tied_blocks);
    EXPECT_EQ(search.speedup, b.search.speedup);
    EXPECT_EQ(search.kernel_times, b.search.kernel_times);
    EXPECT_EQ(search.kernel_tokens, b.search.kernel_tokens);
    EXPECT_EQ(refine, b.refine);
    EXPECT_EQ(evaluate.perplexity, b.evaluate.perplexity);
    ASSERT_EQ(evaluate.tasks.size(), b.evaluate.tasks.size());
    for (std::size_t i = 0; i < evaluate.tasks.size(); ++i) {
        EXPECT_EQ(evaluate.tasks[i].task, b.evaluate.tasks[i].task);
        EXPECT_EQ(evaluate.tasks[i].data, b.evaluate.tasks[i].data);
        EXPECT_EQ(evaluate.tasks[i].max_seq_length, b.evaluate.tasks[i].max_seq_length);
    }
    EXPECT_EQ(evaluate.max_seq_length, b.evaluate.max_seq_length);
    EXPECT_EQ(evaluate.limit, b.evaluate.limit);
    EXPECT_EQ(exports, b.exports);
    EXPECT_EQ(runtime.backend, b.runtime.backend);
    EXPECT_EQ(runtime.instruction_set, b.runtime.instruction_set);
    EXPECT_EQ(runtime.threads, b.runtime.threads);
    EXPECT_EQ(runtime.memory_limit, b.runtime.memory_limit);
    EXPECT_EQ(runtime.max_walltime, b.runtime.max_walltime);
    EXPECT_EQ(runtime.worker_timeout, b.runtime.worker_timeout);
}

TEST(ToYaml, EveryKeyInOrder) {
    EXPECT_EQ(to_yaml(read(required_keys)), R"(model: m
output: o
seed: 0
calibration:
  data: []
  num_calibration_samples: 128
  max_seq_length: 2048
  precision: fp32
  weighting: equal
budget: 4x
ignore: []
allow_nan_rows: false
search:
  evaluation: []
  num_evaluation_samples: 16
  scores: divergence
  strategy: evolution
  generations: 20
  offspring: 16
  tied_blocks: 1
  speedup: 0
  kernel_tokens: 1
refine: none
evaluate:
  perplexity: []
  tasks: []
  max_seq_length: 2048
  limit: 0
export: []
runtime:
  backend: cpu
  instruction_set: auto
  threads: 0
  memory_limit: auto
  max_walltime: 0
  worker_timeout: 600
)");
}

TEST(ToYaml, SliceSectionIsWrittenWhole) {
    EXPECT_THAT(to_yaml(read(required_keys + "slice: {sparsity: 0.25, rotation: global}")),
                ::testing::HasSubstr(R"(slice:
  sparsity: 0.25
  round_interval: 8
  rotation: global
  order: dense
  touch_up: 0
  signal: normalised
  weighting: effect
  widths: constant
  orientation: pca
  head: false
  tables: auto
  refit: false
budget: 4x
)"));
}

TEST(ToYaml, EveryFormOfSliceReadsBack) {
    for (const char* slice :
         {"{sparsity: 0}", "{sparsity: 0.3, order: sequential}", "{sparsity: 0.3, touch_up: 3}",
          "{sparsity: 0.3, rotation: global, weighting: equal}",
          "{parameter_reduction: 0.2, widths: energy, head: true}",
          "{sparsity: 0.2, widths: search}",
          "{sparsity: 0.1, signal: normalised, orientation: random, round_interval: 64}"}) {
        const JobConfig job = read(required_keys + "slice: " + slice);
        expect_same(read(to_yaml(job)), job);
    }
    EXPECT_FALSE(read(full_job, {"slice=none"}).slice);
}

TEST(ToYaml, ReadsBack) {
    const std::string kept = required_keys + "kept_tensors: {method: bct, num_bits: 8}\n";
    const std::string several = required_keys + "kept_tensors: [{method: bct}, {method: dense}]\n";
    EXPECT_EQ(read(kept).kept_tensors.size(), 1U);
    EXPECT_EQ(read(several).kept_tensors.size(), 2U);
    for (const std::string& yaml : {required_keys, full_job, kept, several}) {
        const JobConfig job = read(yaml);
        expect_same(read(to_yaml(job)), job);
        EXPECT_EQ(to_yaml(read(to_yaml(job))), to_yaml(job));
    }
}

/// Texts that YAML would take for something else.
TEST(ToYaml, AwkwardTextsReadBack) {
    JobConfig job = read(full_job);
    for (const std::string text : {"null",
                                   "~",
                                   "Null",
                                   "...",
                                   "..",
                                   "-",
                                   "- a",
                                   "#x",
                                   "a #b",
                                   "a: b",
                                   "[x]",
                                   "{",
                                   "a,b",
                                   "'",
                                   "\"",
                                   "\\",
                                   "\\n",
                                   "line\nbreak\ttab\r",
                                   "\x01\x7F",
                                   "größe",
                                   " padded ",
                                   "true",
                                   "4:8",
                                   "*a",
                                   "&a",
                                   "!x",
                                   "%d",
                                   "@",
                                   "`",
                                   "?",
                                   "re:(a|b)\\.weight$",
                                   "1e3",
                                   "0x1F",
                                   "=",
                                   "<<"}) {
        SCOPED_TRACE(text);
        job.model = text;
        job.calibration.data = {text, text};
        job.reading.ignore = {text};
        job.candidates[0].method = text;
        job.candidates[0].keys[0].values = {text};
        job.candidates[0].keys[1].values = {text, text};
        job.evaluate.tasks[0].task = text;
        job.evaluate.tasks[1].data = text;
        expect_same(read(to_yaml(job)), job);
    }
}

TEST(ToYaml, NumbersReadBack) {
    JobConfig job = read(required_keys);
    for (const double seconds : {0.1, 1.0 / 3.0, 1e9, 123456789.125, 1e-7}) {
        job.runtime.max_walltime = seconds;
        job.runtime.worker_timeout = seconds;
        job.budget = {Budget::Kind::bits_per_weight, 1.0 + seconds / 1e8};
        expect_same(read(to_yaml(job)), job);
    }
}

}  // namespace
}  // namespace lathe
