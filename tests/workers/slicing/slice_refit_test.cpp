// Refitting a sliced model, on the small models of tests/data/parity.

#include "workers/slicing/slice_refit.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "lib/core/file.hpp"
#include "tests/workers/slicing/slice_job.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/slicing/slice_fit.hpp"

namespace lathe {
namespace {

SliceConfig a_quarter() {
    SliceConfig slice;
    slice.sparsity = 0.25;
    slice.round_interval = 4;
    return slice;
}

/// One rotation for all. It is no boundary's own, so that what it keeps of a stream and what it
/// cuts off go together; of its own rotation the parts of a random model's stream do not.
SliceConfig a_quarter_by_one_rotation() {
    SliceConfig slice = a_quarter();
    slice.round_interval = 12;
    slice.rotation = SliceConfig::Rotation::global;
    slice.signal = SliceConfig::Signal::normalised;
    slice.weighting = SliceConfig::Weighting::equal;
    return slice;
}

/// Different tokens in the samples: more than the cut stream has coordinates, each of them often.
constexpr std::size_t few = 44;

/// Fits all blocks and the end, as one rank does, beginning with block `first`.
void refit(SliceJob& job, std::size_t first = 0) {
    JobContext& context = job.context();
    context.job.slice->refit = true;
    make_directories(context.run.slice_fit("head").parent_path());
    SliceRefitter refitter(context, {first, job.widths(), "fit"});
    for (std::size_t b = first; b <= context.spec().n_blocks; ++b) {
        refitter.run({b, job.widths(), "fit"});
    }
}

/// Transposed, fused and tied weights, biases, parallel blocks with one norm and with two.
class RefittedFamily : public ::testing::TestWithParam<std::string> {};

TEST_P(RefittedFamily, IsNearerToTheSource) {
    const SliceConfig slice = a_quarter_by_one_rotation();
    SliceJob plain(GetParam(), slice, few);
    plain.rotate_dense();
    const std::vector<float> expected = plain.given_logits();
    const double before = relative_l2(plain.slice(), expected);
    const bool is_sliced = plain.context().spec().is_sliced();
    SliceJob fitted(GetParam(), slice, few);
    fitted.rotate_dense();
    refit(fitted);
    EXPECT_LT(relative_l2(fitted.slice(), expected), 0.95 * before);
    EXPECT_EQ(fitted.context().spec().is_sliced(), is_sliced) << "a stock model stays one";
}

TEST_P(RefittedFamily, WithoutCutsKeepsTheLogits) {
    SliceJob job(GetParam(), {});
    job.rotate_dense();
    const std::vector<float> expected = job.given_logits();
    refit(job);
    EXPECT_LT(relative_l2(job.slice(), expected), 5e-6);
}

INSTANTIATE_TEST_SUITE_P(Models, RefittedFamily,
                         ::testing::Values("llama", "opt", "phi", "gpt2", "gpt_neox", "phi3"),
                         [](const auto& test) { return test.param; });

// The readers of the first boundary, whose stream is the embedding: from the definition, in fp64.
// With y the source's normed stream, y' the cut one's, B the basis and p one of the penalties, the
// change C of B^T solves C (E[y' y'^T] + p diag) = E[(y - B^T y') y'^T].
TEST(SliceRefit, ReadersGetTheRegressionOnWhatIsLeft) {
    SliceJob job("llama", a_quarter_by_one_rotation(), few);
    job.rotate_dense();
    refit(job);
    const JobContext& context = job.context();
    const ModelSpec& spec = context.fused->spec;
    const std::size_t d = spec.hidden_size;
    const std::size_t width = job.widths().front();
    const auto embedding = spec.find(Role::token_embedding, std::nullopt).value();
    const std::vector<double> table = context.fused->weights.values(embedding, context.backend());
    const std::vector<double> basis = stream_basis(context, 0, width);
    std::vector<double> gram(width * width, 0.0);
    std::vector<double> cross(d * width, 0.0);
    for (const std::uint32_t id : job.samples().ids) {
        const double* x = table.data() + id * d;
        std::vector<double> cut(width, 0.0);
        double energy = 0.0;
        double kept = 0.0;
        for (std::size_t j = 0; j < d; ++j) {
            energy += x[j] * x[j];
        }
        for (std::size_t i = 0; i < width; ++i) {
            for (std::size_t j = 0; j < d; ++j) {
                cut[i] += basis[i * d + j] * x[j];
            }
            kept += cut[i] * cut[i];
        }
        const auto size = static_cast<double>(d);
        for (double& value : cut) {
            value /= std::sqrt(kept / size + spec.norm_epsilon);
        }
        for (std::size_t j = 0; j < d; ++j) {
            double lacks = x[j] / std::sqrt(energy / size + spec.norm_epsilon);
            for (std::size_t i = 0; i < width; ++i) {
                lacks -= basis[i * d + j] * cut[i];
            }
            for (std::size_t i = 0; i < width; ++i) {
                cross[j * width + i] += lacks * cut[i];
            }
        }
        for (std::size_t i = 0; i < width; ++i) {
            for (std::size_t k = 0; k < width; ++k) {
                gram[i * width + k] += cut[i] * cut[k];
            }
        }
    }
    const std::vector<float> change =
        read_slice_fit(context.run.slice_fit("block_0000"))[0].reading;
    ASSERT_EQ(change.size(), cross.size());
    double best = 1.0;
    for (const double penalty : {0.01, 0.03, 0.1, 0.3, 1.0}) {
        std::vector<double> product(cross.size(), 0.0);
        for (std::size_t j = 0; j < d; ++j) {
            for (std::size_t i = 0; i < width; ++i) {
                for (std::size_t k = 0; k < width; ++k) {
                    const double added = i == k ? penalty * gram[i * width + i] : 0.0;
                    product[j * width + i] +=
                        double{change[j * width + k]} * (gram[k * width + i] + added);
                }
            }
        }
        best = std::min(best, relative_l2(product, cross));
    }
    EXPECT_LT(best, 1e-4);
}

TEST(SliceRefit, GoesOnWhereItWasStopped) {
    SliceJob job("llama", a_quarter());
    job.rotate_dense();
    refit(job);
    const RunDirectory& run = job.context().run;
    const std::string last = read_file(run.slice_fit("head"));
    for (const char* place : {"block_0001", "head"}) {
        std::filesystem::remove(run.slice_fit(place));
    }
    refit(job, 1);
    EXPECT_EQ(read_file(run.slice_fit("head")), last);
}

TEST(SliceFit, ReadsBackWhatWasWritten) {
    const std::filesystem::path file =
        std::filesystem::temp_directory_path() / "lathe_slice_fit_test.h5";
    const std::vector<StepFit> steps{{{1.0F, 2.0F}, {{Role::o_proj, {3.0F}}}},
                                     {{}, {{Role::down_proj, {}}}}};
    write_slice_fit(file, steps, "f");
    const std::vector<StepFit> found = read_slice_fit(file);
    std::filesystem::remove(file);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].reading, steps[0].reading);
    EXPECT_EQ(found[0].writing, steps[0].writing);
    EXPECT_TRUE(found[1].reading.empty());
    EXPECT_TRUE(found[1].writing.empty()) << "no correction is none at all";
}

}  // namespace
}  // namespace lathe
