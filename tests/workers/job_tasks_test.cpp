// The tasks of a job on a small model, each checked against a direct computation.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "methods/dense.hpp"
#include "tests/workers/job/job_fixture.hpp"
#include "workers/calibration/calibration.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/checkpoint/assembly.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/evaluation/variants.hpp"
#include "workers/network/forward.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;

template <class T>
T sum(const std::vector<T>& values) {
    return std::accumulate(values.begin(), values.end(), T{});
}

class JobTasks : public ::testing::TestWithParam<const char*> {
protected:
    JobTasks() : job(GetParam()) { job.prepare(); }
    SmallJob job;
};

TEST_P(JobTasks, GramMatricesAreTheMeanOuterProducts) {
    const JobContext& context = job.context();
    const ModelSpec& spec = context.spec();
    const TokenSequences& samples = job.samples().calibration;
    // The same pass once more, summed plainly in fp64.
    ForwardPass forward(spec, context.backend(), samples.max_length());
    const SourceWeights source(*context.source);
    std::vector<float> hidden(samples.ids.size() * spec.hidden_size);
    const MatrixView<float> x(hidden.data(), samples.ids.size(), spec.hidden_size);
    forward.embed(LoadedWeights::load(spec, source, context.backend(), std::nullopt,
                                      ForwardPass::embedding_roles()),
                  samples, x);
    std::size_t n_checked = 0;
    forward.block(LoadedWeights::load(spec, source, context.backend(), 0), samples, x,
                  [&](Signal signal, auto input) {
                      const SignalStatistics found =
                          read_statistics(context.run.statistics("block_0000"), signal);
                      ASSERT_EQ(found.width, input.cols);
                      EXPECT_EQ(found.tokens, samples.ids.size());
                      for (std::size_t i = 0; i < found.width; i += 5) {
                          for (std::size_t j = 0; j < found.width; j += 3) {
                              double expected = 0.0;
                              for (std::size_t t = 0; t < input.rows; ++t) {
                                  expected += double{input(t, i)} * input(t, j);
                              }
                              expected /= static_cast<double>(input.rows);
                              EXPECT_NEAR(found.gram[i * found.width + j], expected,
                                          1e-5 * (1.0 + std::abs(expected)));
                              ++n_checked;
                          }
                      }
                  });
    EXPECT_GT(n_checked, 100U);
}

TEST_P(JobTasks, CandidatesSayWhatTheyCost) {
    const JobContext& context = job.context();
    for (std::size_t u = 0; u < context.spec().units.size(); ++u) {
        const auto candidates =
            read_candidates(context.run.candidates(context.spec().units[u].name), u);
        ASSERT_EQ(candidates.size(), 2U);
        const auto output_errors =
            read_output_errors(context.run.candidates(context.spec().units[u].name));
        ASSERT_EQ(output_errors.size(), 2U);
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            const Candidate& c = candidates[i];
            // What the method says in all is what was stored output by output.
            // A tied embedding's columns, as it is looked up, come on top.
            std::vector<double> outputs = output_errors[i];
            const UnitSpec& unit = context.spec().units[u];
            if (context.spec().tied_head && !unit.block && !outputs.empty()) {
                EXPECT_EQ(outputs.size(),
                          context.spec().vocab_size + context.spec().embedding_size);
                outputs.resize(context.spec().vocab_size);
            }
            EXPECT_NEAR(sum(outputs), c.error, 1e-4 * c.error);
            std::uint64_t bytes = 0;
            for (std::size_t p = 0; p < context.spec().units[u].tensors.size(); ++p) {
                bytes += stored_bytes(read_candidate_tensor(context, u, p, c.setting));
            }
            EXPECT_EQ(c.bytes, bytes);
            EXPECT_EQ(c.bytes, predicted_bytes(*context.source, u, c.setting));
            const bool is_source = c.setting == source_setting();
            EXPECT_EQ(c.error == 0.0, is_source) << to_string(c.setting);
            EXPECT_LT(c.relative_error, 0.5);
        }
    }
}

TEST_P(JobTasks, ChangingNothingDivergesByNothing) {
    EvaluationTask task;
    task.choice = job.plan_of(source_setting());
    task.against_source = true;
    task.samples = job.samples().evaluation;
    const SampleLosses losses = run_evaluation(job.context(), task);
    EXPECT_EQ(sum(losses.kl), 0.0);
    EXPECT_EQ(losses.nll, losses.reference_nll);
    EXPECT_EQ(sum(losses.agree), ForwardPass::head_rows(job.context().spec(), task.samples));
}

TEST_P(JobTasks, OnlyTheTaskForAReferenceWritesIt) {
    const JobContext& context = job.context();
    EvaluationTask task;
    task.choice = job.plan_of(job.rounded());
    task.against_source = true;
    task.samples = job.samples().evaluation;
    const auto file = context.run.reference(hash_of(task.samples));
    const std::vector<double> expected = run_evaluation(context, task).kl;
    EXPECT_FALSE(std::filesystem::exists(file)) << "any rank may measure on these samples";
    run_reference(context, {task.samples, "of the source"});
    EXPECT_EQ(text_attribute(ArtifactReader(file).attributes("/"), "fingerprint", file.string()),
              "of the source");
    EXPECT_EQ(run_evaluation(context, task).kl, expected);
    write_file(file, "damaged");
    EXPECT_THROW((void)run_evaluation(context, task), DataError) << "it was not read";
}

/// For the tensors of no unit.
Setting coarse_kept() {
    CandidateEntry entry;
    entry.method = "integer";
    entry.keys = {{"num_bits", {"4"}, {}}, {"solver", {"rtn"}, {}}, {"group_size", {"16"}, {}}};
    return kept_settings({entry}).front();
}

/// KL(source || plan), summed over all rows.
double divergence_of(const JobContext& context, std::vector<Setting> choice,
                     const TokenSequences& samples) {
    EvaluationTask task;
    task.choice = std::move(choice);
    task.against_source = true;
    task.samples = samples;
    return sum(run_evaluation(context, task).kl);
}

TEST_P(JobTasks, VariantsOfTheSourceDivergeLikePlans) {
    const JobContext& context = job.context();
    const std::size_t n_units = context.spec().units.size();
    const TokenSequences& windows = job.samples().evaluation;
    const std::vector<Setting> source = job.plan_of(source_setting());
    VariantTask task{source, {{}}, windows};
    for (std::size_t u = 0; u < n_units; ++u) {
        task.variants.push_back({{u, job.rounded()}});
    }
    task.variants.push_back({{n_units, coarse_kept()}});
    const std::vector<double> found = run_variants(context, task);
    ASSERT_EQ(found.size(), n_units + 2);
    EXPECT_EQ(found[0], 0.0);
    for (std::size_t u = 0; u <= n_units; ++u) {
        std::vector<Setting> choice = source;
        choice[u] = u < n_units ? job.rounded() : coarse_kept();
        const double expected = divergence_of(context, choice, windows);
        EXPECT_GT(expected, 0.0);
        EXPECT_NEAR(found[u + 1], expected, 1e-4 * expected) << u;
    }
}

TEST_P(JobTasks, VariantsOfAPlanDivergeLikePlansWhateverTheirCompany) {
    const JobContext& context = job.context();
    const std::size_t n_units = context.spec().units.size();
    const TokenSequences& windows = job.samples().evaluation;
    const std::vector<Setting> base = job.plan_of(job.rounded());
    // The plan itself; two units of different blocks; each unit by itself, the last one first.
    VariantTask task{base, {{}, {{0, source_setting()}, {n_units - 1, source_setting()}}}, windows};
    for (std::size_t u = n_units; u-- > 0;) {
        task.variants.push_back({{u, source_setting()}});
    }
    task.variants.push_back({{n_units, coarse_kept()}});
    task.variants.push_back({{0, source_setting()}, {n_units, coarse_kept()}});
    const std::vector<double> found = run_variants(context, task);
    for (std::size_t v = 0; v < task.variants.size(); ++v) {
        std::vector<Setting> choice = base;
        for (const UnitChange& change : task.variants[v]) {
            choice[change.unit] = change.setting;
        }
        const double expected = divergence_of(context, choice, windows);
        EXPECT_NEAR(found[v], expected, 1e-4 * expected) << v;
        const VariantTask alone{base, {task.variants[v]}, windows};
        EXPECT_EQ(run_variants(context, alone).front(), found[v]) << v;
    }
}

TEST_P(JobTasks, TasksSurviveTheirTextForm) {
    const VariantTask variants{{job.rounded(), source_setting()},
                               {{}, {{1, job.rounded()}, {0, source_setting()}}},
                               job.samples().evaluation};
    EXPECT_EQ(variant_task_from_json(to_json(variants)).base, variants.base);
    EXPECT_EQ(variant_task_from_json(to_json(variants)).variants, variants.variants);
    EXPECT_EQ(variant_task_from_json(to_json(variants)).samples.ids, variants.samples.ids);
    const AssemblyTask assembly{3, {job.rounded(), source_setting()}, "r", "/a", "f"};
    const AssemblyTask back = assembly_task_from_json(to_json(assembly));
    EXPECT_EQ(back.block, assembly.block);
    EXPECT_EQ(back.choice, assembly.choice);
    EXPECT_EQ(back.directory, assembly.directory);
    // Numbers come back exactly: sums do not depend on which rank computed what.
    const SampleLosses losses{{0.1, 1.0 / 3.0}, {1e-300}, {2.5e17}, {7}};
    EXPECT_EQ(sample_losses_from_json(to_json(losses)).nll, losses.nll);
    EXPECT_EQ(sample_losses_from_json(to_json(losses)).kl, losses.kl);
}

INSTANTIATE_TEST_SUITE_P(Models, JobTasks,
                         ::testing::Values("llama", "llama3", "llama_linear", "gpt2", "gpt_neox",
                                           "opt_post_norm", "phi", "qwen3", "bert", "distilbert"),
                         [](const auto& test) { return std::string(test.param); });

TEST(TokenFrequencies, CountAndLeaveNoneAtZero) {
    // 3 tokens and one more spread over 4 entries: (2 + 1/4) / 4, (1 + 1/4) / 4, (1/4) / 4.
    const auto shares = token_frequencies({{2, 0, 2}, {3}, {}}, 4);
    EXPECT_FLOAT_EQ(shares[2], 2.25F / 4);
    EXPECT_FLOAT_EQ(shares[0], 1.25F / 4);
    EXPECT_FLOAT_EQ(shares[1], 0.25F / 4);
}

// Each product is off by 2^-8 at most, to either side.
TEST(Calibration, InBfloat16IsNearThatInFp32) {
    using Precision = CalibrationConfig::Precision;
    SmallJob in_fp32("llama", Precision::fp32);
    SmallJob in_bf16("llama", Precision::bf16);
    std::vector<std::vector<float>> grams;
    for (SmallJob* job : {&in_fp32, &in_bf16}) {
        job->prepare();
        grams.push_back(
            read_statistics(job->context().run.statistics("block_0001"), Signal::mlp_in).gram);
    }
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < grams[0].size(); ++i) {
        const double change = double{grams[1][i]} - double{grams[0][i]};
        difference += change * change;
        norm += double{grams[0][i]} * double{grams[0][i]};
    }
    EXPECT_GT(std::sqrt(difference / norm), 1e-6);
    EXPECT_LT(std::sqrt(difference / norm), 1e-2);
}

// reference.h5 of the fixture has pairs: `hidden`[0] is what transformers gave the first block, of
// each token its word, position and segment. So that is what the first Gram matrix is made of.
TEST(Calibration, SegmentsOfPairsReachTheGramMatrices) {
    const SmallJob small("bert");
    JobConfig job = small.context().job;
    const std::filesystem::path reference = job.model / "reference.h5";
    job.calibration.data = {reference};
    job.calibration.num_calibration_samples = 3;
    job.search.num_evaluation_samples = 1;
    const JobSamples samples = make_samples(job, small.context().spec(), nullptr);
    ASSERT_GT(std::ranges::count(samples.calibration.segments, 1U), 0);
    make_directories(small.context().run.root() / "calibration");
    write_samples(samples, small.context().run.samples(), "samples");
    Calibrator(small.context()).run({.block = 0, .fingerprint = "statistics", .widths = {}});

    const ArtifactReader file(reference);
    const std::vector<float> hidden = file.read_floats("/hidden");
    const std::vector<std::int64_t> mask = file.read_integers("/attention_mask");
    const std::size_t width = small.context().spec().hidden_size;
    const SignalStatistics found =
        read_statistics(small.context().run.statistics("block_0000"), Signal::attention_in);
    EXPECT_EQ(found.tokens, samples.calibration.tokens());
    for (std::size_t i = 0; i < width; ++i) {
        for (std::size_t j = 0; j < width; ++j) {
            double expected = 0.0;
            for (std::size_t t = 0; t < mask.size(); ++t) {
                expected +=
                    static_cast<double>(mask[t]) * hidden[t * width + i] * hidden[t * width + j];
            }
            expected /= static_cast<double>(found.tokens);
            ASSERT_NEAR(found.gram[i * width + j], expected, 1e-5) << i << ", " << j;
        }
    }
}

}  // namespace
}  // namespace lathe
