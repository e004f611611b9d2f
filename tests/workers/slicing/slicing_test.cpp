// Fusion, rotation and slicing on the small models of tests/data/parity.

#include "workers/slicing/slicing.hpp"

#include <cmath>
#include <filesystem>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "tests/workers/network/exact_forward.hpp"
#include "tests/workers/slicing/slice_job.hpp"
#include "workers/candidates/unit_data.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/network/final_states.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/slicing/sliced_model.hpp"
#include "workers/slicing/sliced_weights.hpp"
#include "workers/slicing/stream_widths.hpp"
#include "workers/statistics/signal_statistics.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

/// Every family that can be sliced: fused tensors, transposed ones, tied heads, parallel blocks,
/// norms of heads, an embedding with a norm, positions of all kinds.
class SlicedFamily : public ::testing::TestWithParam<std::string> {};
/// One of each kind of block, norm and position.
class ExactlySliced : public ::testing::TestWithParam<std::string> {};

// The method notes ask for 1e-6 in fp32; logits of these random models are small sums of large
// terms, which costs a digit.
TEST_P(SlicedFamily, FusingTheNormsLeavesTheLogits) {
    SliceJob job(GetParam(), {});
    const FusedModel& fused = *job.context().fused;
    EXPECT_LT(relative_l2(job.logits(fused.spec, fused.weights), job.given_logits()), 2e-6);
}

// All rotations and shortcuts, nothing cut; 5e-6 for weights stored in fp32.
TEST_P(SlicedFamily, RotationWithoutCutsLeavesTheLogits) {
    SliceJob job(GetParam(), {});
    job.rotate_dense();
    const std::vector<float> expected = job.given_logits();
    EXPECT_LT(relative_l2(job.slice(), expected), 5e-6);
}

// Two tables in place of the one that a tied embedding and head share by default.
TEST_P(SlicedFamily, TablesOfTheirOwnLeaveTheLogits) {
    SliceConfig slice;
    slice.tables = SliceConfig::Tables::own;
    SliceJob job(GetParam(), slice);
    job.rotate_dense();
    const std::vector<float> expected = job.given_logits();
    EXPECT_LT(relative_l2(job.slice(), expected), 5e-6);
    EXPECT_FALSE(job.context().spec().tied_head);
}

// A cut before the table's rows are read and one behind them are the same cut.
TEST_P(SlicedFamily, OneTableComputesWhatTwoDo) {
    SliceConfig slice;
    slice.sparsity = 0.25;
    slice.round_interval = 4;
    slice.head = true;
    slice.tables = SliceConfig::Tables::own;
    SliceJob two(GetParam(), slice);
    two.rotate_dense();
    const std::vector<float> expected = two.slice();
    slice.tables = SliceConfig::Tables::automatic;
    SliceJob one(GetParam(), slice);
    one.rotate_dense();
    EXPECT_LT(relative_l2(one.slice(), expected), 1e-5);
    const ModelSpec& given = one.context().given_model().spec;
    EXPECT_EQ(one.context().spec().shares_table(), reason_not_to_share_table(given).empty());
}

TEST_P(SlicedFamily, RandomOrientationLeavesTheFunction) {
    SliceConfig slice;
    slice.sparsity = 0.25;
    slice.round_interval = 4;
    SliceJob plain(GetParam(), slice);
    plain.rotate_dense();
    const std::vector<float> expected = plain.slice();
    slice.orientation = SliceConfig::Orientation::random;
    SliceJob turned(GetParam(), slice);
    turned.rotate_dense();
    EXPECT_LT(relative_l2(turned.slice(), expected), 1e-5);
}

TEST_P(SlicedFamily, SequentialOrderWithoutCutsLeavesTheLogits) {
    SliceConfig slice;
    slice.order = SliceConfig::Order::sequential;
    SliceJob job(GetParam(), slice);
    job.rotate_in_order();
    const std::vector<float> expected = job.given_logits();
    EXPECT_LT(relative_l2(job.slice(), expected), 5e-6);
}

// What is left of the difference when weights, rotations and the forward pass are in fp64: 1e-9 is
// asked for; the method notes saw 4e-15 on another model.
TEST_P(ExactlySliced, RotationWithoutCutsLeavesTheLogits) {
    SliceJob job(GetParam(), {});
    job.rotate_dense();
    const JobContext& context = job.context();
    const SourceModel& source = *context.source;
    const SourceWeights stored(source);
    const auto source_values = [&](std::size_t index) {
        const auto [rows, cols] = matrix_extents(source.spec.tensors[index].shape);
        std::vector<float> values(rows * cols);
        stored.load(index, context.backend(), {values.data(), rows, cols});
        return std::vector<double>(values.begin(), values.end());
    };
    const std::vector<std::size_t> widths = constant_widths(source, *context.job.slice);
    const SlicedModel target = describe_sliced(source, *context.job.slice, widths);
    SlicedWeights weights(context, target, widths);
    const auto sliced_values = [&](std::size_t index) {
        return weights.values(target.spec.tensors[index]);
    };
    const TokenSequences samples = random_samples(source.spec, 2);
    const std::vector<double> expected = exact_logits(source.spec, source_values, samples);
    const std::vector<double> found = exact_logits(target.spec, sliced_values, samples);
    ASSERT_EQ(found.size(), expected.size());
    EXPECT_LT(relative_l2(found, expected), 1e-9);
    // The plain pass computes what the program's does.
    const std::vector<float> given = job.given_logits();
    EXPECT_LT(
        relative_l2({given.begin(), given.begin() + static_cast<long>(expected.size())}, expected),
        1e-5);
}

INSTANTIATE_TEST_SUITE_P(Models, ExactlySliced, ::testing::Values("llama", "opt", "phi"),
                         [](const auto& test) { return test.param; });

INSTANTIATE_TEST_SUITE_P(Models, SlicedFamily,
                         ::testing::Values("llama", "mistral", "qwen2", "qwen3", "phi3", "opt",
                                           "phi", "gpt2", "gpt_neox", "gpt_neox_sequential",
                                           "bloom"),
                         [](const auto& test) { return test.param; });

// What is cut at a boundary is the energy of the discarded eigenvalues (method notes, A13-4).
TEST(Slicing, DiscardedEnergyIsThatOfTheDiscardedEigenvalues) {
    SliceJob job("llama", {});
    job.rotate_dense();
    const JobContext& context = job.context();
    const std::size_t d = context.spec().hidden_size;
    const std::size_t width = d / 2;
    for (const std::size_t boundary : {0, 1, 3}) {
        const BoundaryPlace place = boundary_place(context.spec(), boundary);
        const std::vector<double> gram =
            read_wide_gram(context.run.statistics(place.name), place.stream);
        const Rotation rotation = read_rotation(context, boundary, 0);
        const std::vector<double> kept = rotate_gram(context, boundary, gram, width);
        double trace = 0.0;
        double kept_energy = 0.0;
        double tail = 0.0;
        for (std::size_t i = 0; i < d; ++i) {
            trace += gram[i * d + i];
            kept_energy += i < width ? kept[i * width + i] : 0.0;
            tail += i < width ? 0.0 : rotation.values[i];
        }
        EXPECT_NEAR(trace - kept_energy, tail, 1e-8 * trace) << boundary;
    }
}

// One rotation for all boundaries needs no shortcuts: an RMSNorm model stays a stock one. Its width
// is a multiple of the number of heads too: 36 of 48 is one of 6.
TEST(Slicing, OneRotationForAllMakesAStockModel) {
    SliceConfig slice;
    slice.sparsity = 0.25;
    slice.round_interval = 6;
    slice.rotation = SliceConfig::Rotation::global;
    slice.signal = SliceConfig::Signal::normalised;
    slice.weighting = SliceConfig::Weighting::equal;
    SliceJob job("llama", slice);
    job.rotate_dense();
    const std::size_t d = job.context().spec().hidden_size;
    const std::vector<float> logits = job.slice();
    const ModelSpec& spec = job.context().spec();
    EXPECT_FALSE(spec.is_sliced());
    EXPECT_EQ(spec.hidden_size, d * 3 / 4);
    EXPECT_EQ(spec.head_dim, job.context().given_model().spec.head_dim);
    EXPECT_LT(relative_l2(logits, job.given_logits()), 1.0);
}

TEST(Slicing, OneRotationWithoutCutsLeavesTheLogits) {
    SliceConfig slice;
    slice.rotation = SliceConfig::Rotation::global;
    slice.signal = SliceConfig::Signal::normalised;
    slice.weighting = SliceConfig::Weighting::equal;
    for (const char* model : {"llama", "mistral", "opt"}) {
        SliceJob job(model, slice);
        job.rotate_dense();
        const std::vector<float> expected = job.given_logits();
        EXPECT_LT(relative_l2(job.slice(), expected), 5e-6) << model;
    }
}

// The table is the source's to the last bit, and the model is smaller than one with two.
TEST(Slicing, ASharedTableIsTheSources) {
    SliceConfig slice;
    slice.sparsity = 0.25;
    slice.round_interval = 4;
    SliceJob job("opt", slice);
    job.rotate_dense();
    (void)job.slice();
    const SourceModel& given = job.context().given_model();
    const SourceModel& sliced = *job.context().source;
    const auto table = [&](const SourceModel& model) {
        const std::size_t index = model.spec.find(Role::token_embedding, std::nullopt).value();
        const auto [rows, cols] = matrix_extents(model.spec.tensors[index].shape);
        std::vector<float> values(rows * cols);
        SourceWeights(model).load(index, job.context().backend(), {values.data(), rows, cols});
        return values;
    };
    EXPECT_EQ(table(sliced), table(given));
    slice.tables = SliceConfig::Tables::own;
    EXPECT_LT(sliced.spec.parameters(),
              describe_sliced(given, slice, job.widths()).spec.parameters());
}

// What the head reads through its projection: measured on the fused model, turned, without cuts.
// The mean of what stands before the projection's bias is left out, so the bias is set aside.
TEST(Slicing, TheStatisticsOfASharedTableAreThoseOfTheHeadsInput) {
    SliceJob job("llama3", {});
    job.rotate_dense();
    (void)job.slice();
    const JobContext& context = job.context();
    ASSERT_TRUE(context.spec().shares_table());
    const UnitSpec& table = context.spec().units.front();
    const UnitData data = load_unit(context, table, {0, context.spec().vocab_size});
    const SourceModel& given = context.given_model();
    const FinalStates states =
        final_states(given.spec, SourceWeights(given), context.backend(), job.samples());
    const std::size_t d = given.spec.hidden_size;
    const std::size_t tokens = states.size() / d;
    std::vector<double> expected(d * d, 0.0);
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t i = 0; i < d; ++i) {
            for (std::size_t j = 0; j < d; ++j) {
                expected[i * d + j] += double{states.data()[t * d + i]} * states.data()[t * d + j] /
                                       static_cast<double>(tokens);
            }
        }
    }
    EXPECT_LT(relative_l2({data.gram.begin(), data.gram.end()}, expected), 1e-5);
}

TEST(Slicing, RefusesToShareWhatTheSourceDoesNot) {
    SliceConfig slice;
    slice.tables = SliceConfig::Tables::shared;
    SliceJob job("llama", slice);
    EXPECT_THAT([&] { (void)describe_sliced(*job.context().source, slice, job.widths()); },
                ::testing::ThrowsMessage<DataError>(::testing::HasSubstr(
                    "embedding and head cannot share a table: its head has weights of its own")));
}

TEST(Slicing, WidthsOfASparsityAreRoundedDown) {
    SliceConfig slice;
    slice.sparsity = 0.3;
    slice.round_interval = 8;
    SliceJob job("llama", slice);
    const SourceModel& source = *job.context().source;
    const auto exact = static_cast<std::size_t>(0.7 * static_cast<double>(source.spec.hidden_size));
    const std::vector<std::size_t> widths = constant_widths(source, slice);
    EXPECT_EQ(widths.front(), exact / 8 * 8);
    EXPECT_EQ(widths.back(), source.spec.hidden_size) << "the head is not cut";
    slice.head = true;
    EXPECT_EQ(constant_widths(source, slice).back(), exact / 8 * 8);
}

TEST(Slicing, WidthsWithOneRotationAreMultiplesOfTheHeadsWhereReadersDivideByThem) {
    SliceConfig slice;
    slice.sparsity = 0.3;
    slice.round_interval = 3;
    slice.rotation = SliceConfig::Rotation::global;
    SliceJob job("llama", slice);
    const SourceModel& source = *job.context().source;
    const auto exact = static_cast<std::size_t>(0.7 * static_cast<double>(source.spec.hidden_size));
    const std::size_t step = std::lcm(std::size_t{3}, source.spec.n_heads);
    ASSERT_NE(exact / step * step, exact / 3 * 3);
    EXPECT_EQ(constant_widths(source, slice).front(), exact / step * step);
    slice.heads_divide_width = false;
    EXPECT_EQ(constant_widths(source, slice).front(), exact / 3 * 3);
}

TEST(Slicing, ParameterReductionTakesTheLargestWidthThatFits) {
    SliceConfig slice;
    slice.parameter_reduction = 0.1;
    slice.round_interval = 1;
    SliceJob job("llama", slice);
    const SourceModel& source = *job.context().source;
    std::vector<std::size_t> widths = constant_widths(source, slice);
    const auto share = [&](const std::vector<std::size_t>& w) {
        return static_cast<double>(describe_sliced(source, slice, w).spec.parameters()) /
               static_cast<double>(source.spec.parameters());
    };
    EXPECT_LE(share(widths), 0.9);
    for (std::size_t b = 0; b + 1 < widths.size(); ++b) {
        ++widths[b];
    }
    EXPECT_GT(share(widths), 0.9);
}

TEST(Slicing, RefusesAReductionThatNoWidthReaches) {
    SliceConfig slice;
    slice.parameter_reduction = 0.94;
    SliceJob job("llama", slice);
    EXPECT_THAT([&] { (void)constant_widths(*job.context().source, slice); },
                ::testing::ThrowsMessage<InfeasibleError>(::testing::HasSubstr(
                    "slice.parameter_reduction: no width takes 0.94 of the parameters away")));
}

// Two boundaries, one with all its energy in a single direction, one with equal eigenvalues.
TEST(Slicing, WidthsByEnergyFollowTheEigenvalues) {
    SliceConfig slice;
    slice.sparsity = 0.25;
    slice.round_interval = 1;
    slice.widths = SliceConfig::Widths::energy;
    SliceJob job("llama", slice);
    const SourceModel& source = *job.context().source;
    const std::size_t d = source.spec.hidden_size;
    std::vector<std::vector<double>> eigenvalues(n_boundaries(source.spec));
    for (std::size_t b = 0; b + 1 < eigenvalues.size(); ++b) {
        eigenvalues[b].assign(d, 1.0);
        if (b == 0) {
            eigenvalues[b].assign(d, 1e-9);
            eigenvalues[b][0] = 1.0;
        }
    }
    const std::vector<std::size_t> widths = energy_widths(source, slice, eigenvalues);
    EXPECT_EQ(widths.front(), 1U);
    EXPECT_GT(widths[1], widths[0]);
    EXPECT_EQ(widths.back(), d);
    EXPECT_LE(describe_sliced(source, slice, widths).spec.parameters(),
              describe_sliced(source, slice, constant_widths(source, slice)).spec.parameters());
}

/// Half the boundaries do ten times the harm of the others, in a spectrum that falls evenly.
TEST(Slicing, WidthsByEffectSpareTheBoundariesThatMatter) {
    SliceConfig slice;
    slice.sparsity = 0.25;
    slice.round_interval = 1;
    slice.widths = SliceConfig::Widths::search;
    SliceJob job("llama", slice);
    const SourceModel& source = *job.context().source;
    const std::size_t d = source.spec.hidden_size;
    const std::size_t n = n_boundaries(source.spec);
    std::vector<std::vector<double>> eigenvalues(n);
    std::vector<std::vector<WidthEffect>> effects(n);
    const std::vector<std::size_t> probes = probe_widths(source, slice);
    ASSERT_EQ(probes, (std::vector<std::size_t>{d - d / 8, d * 3 / 4, d * 5 / 8}));
    for (std::size_t b = 0; b + 1 < n; ++b) {
        double tail = 0.0;
        for (std::size_t i = 0; i < d; ++i) {
            eigenvalues[b].push_back(
                std::exp2(-8.0 * static_cast<double>(i) / static_cast<double>(d)));
        }
        for (const std::size_t width : probes) {
            tail = 0.0;
            for (std::size_t i = width; i < d; ++i) {
                tail += eigenvalues[b][i];
            }
            effects[b].push_back({width, (b % 2 == 0 ? 10.0 : 1.0) * tail});
        }
    }
    const std::vector<std::size_t> widths = effect_widths(source, slice, eigenvalues, effects);
    const auto parameters = [&](const std::vector<std::size_t>& w) {
        return describe_sliced(source, slice, w).spec.parameters();
    };
    const auto wanted = parameters(constant_widths(source, slice));
    EXPECT_LE(parameters(widths), wanted);
    EXPECT_GT(static_cast<double>(parameters(widths)), 0.98 * static_cast<double>(wanted));
    for (std::size_t b = 1; b + 1 < n; b += 2) {
        EXPECT_GT(widths[b - 1], widths[b]) << b;
    }
    EXPECT_EQ(widths.back(), d) << "the head is not cut";
}

TEST(Slicing, RefusesEncodersWithTheReason) {
    const auto bert = SourceModel::open(fs::path(LATHE_SOURCE_DIR) / "tests/data/parity/bert", {});
    EXPECT_THAT([&] { const FusedModel fused(*bert); },
                ::testing::ThrowsMessage<DataError>(
                    ::testing::HasSubstr("a bert model like this cannot be sliced: its blocks norm "
                                         "after the addition")));
}

}  // namespace
}  // namespace lathe
