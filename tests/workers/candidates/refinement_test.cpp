// Refinement on the small models of tests/data/parity, and the statistics it rests on.

#include "workers/candidates/refinement.hpp"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/parallel.hpp"
#include "methods/dense.hpp"
#include "tests/workers/job/job_fixture.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/candidates/plan_weights.hpp"
#include "workers/candidates/refined_weights.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/network/final_states.hpp"
#include "workers/network/forward.hpp"
#include "workers/statistics/input_shift.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;

std::vector<float> random_values(std::size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) {
        value = normal(random);
    }
    return values;
}

/// x w^T. x [n, width], w [rows, width]
std::vector<float> outputs(const std::vector<float>& x, const std::vector<float>& w,
                           std::size_t width) {
    std::vector<float> y;
    for (std::size_t t = 0; t < x.size() / width; ++t) {
        for (std::size_t r = 0; r < w.size() / width; ++r) {
            float sum = 0.0F;
            for (std::size_t j = 0; j < width; ++j) {
                sum += x[t * width + j] * w[r * width + j];
            }
            y.push_back(sum);
        }
    }
    return y;
}

/// 40 tokens in two batches, 5 features, 3 outputs.
class InputShiftTest : public ::testing::TestWithParam<const char*> {
protected:
    InputShiftTest()
        : backend(kernels::make_backend(kernels::backend_from_name(GetParam()), pool)),
          shift(*backend) {}

    /// Adds both batches; what is missing is given for all tokens, or empty.
    void add(const std::vector<float>& inputs, const std::vector<float>& outputs) {
        for (const std::size_t first : {0U, 16U}) {
            const std::size_t n = first == 0 ? 16 : tokens - 16;
            std::vector<float> batch(x.begin() + static_cast<std::ptrdiff_t>(first * width),
                                     x.begin() + static_cast<std::ptrdiff_t>((first + n) * width));
            shift.add({batch.data(), n, width});
            if (!inputs.empty()) {
                shift.add_missing_input({inputs.data() + first * width, n, width});
            }
            if (!outputs.empty()) {
                shift.add_missing_output({outputs.data() + first * rows, n, rows});
            }
        }
    }
    /// W, corrected with hardly any penalty.
    std::vector<float> corrected() const {
        std::vector<float> result = w;
        shift.correct(as_weights(result), 1e-7);
        return result;
    }

    [[nodiscard]] static std::vector<MatrixView<float>> as_weights(std::vector<float>& values) {
        return {{values.data(), values.size() / width, width}};
    }

    static constexpr std::size_t tokens = 40;
    static constexpr std::size_t width = 5;
    static constexpr std::size_t rows = 3;
    ThreadPool pool{2};
    std::unique_ptr<kernels::Backend> backend;
    InputShift shift;
    std::vector<float> x = random_values(tokens * width, 1);
    std::vector<float> w = random_values(rows * width, 2);
};

TEST_P(InputShiftTest, GramIsTheMeanOuterProduct) {
    add({}, {});
    const std::vector<float> gram = shift.gram();
    for (std::size_t i = 0; i < width; ++i) {
        for (std::size_t j = 0; j < width; ++j) {
            double expected = 0.0;
            for (std::size_t t = 0; t < tokens; ++t) {
                expected += double{x[t * width + i]} * x[t * width + j] / tokens;
            }
            EXPECT_NEAR(gram[i * width + j], expected, 1e-5) << i << ", " << j;
        }
    }
}

TEST_P(InputShiftTest, FindsTheWeightsThatMakeUpForOutputs) {
    // What the weights `wanted` would give is missing: these are then the answer, exactly.
    const std::vector<float> wanted = random_values(rows * width, 3);
    std::vector<float> lacks = outputs(x, wanted, width);
    const std::vector<float> now = outputs(x, w, width);
    for (std::size_t i = 0; i < lacks.size(); ++i) {
        lacks[i] -= now[i];
    }
    add({}, lacks);
    const std::vector<float> found = corrected();
    for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_NEAR(found[i], wanted[i], 1e-4) << i;
    }
}

TEST_P(InputShiftTest, FindsTheWeightsThatMakeUpForInputs) {
    // The source's inputs are x A, so W x A is what V = W A gives on x; the outputs lack C x more.
    const std::vector<float> a = random_values(width * width, 4);
    const std::vector<float> c = random_values(rows * width, 5);
    std::vector<float> lacks = outputs(x, a, width);
    for (std::size_t i = 0; i < lacks.size(); ++i) {
        lacks[i] -= x[i];
    }
    add(lacks, outputs(x, c, width));
    const std::vector<float> found = corrected();
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t j = 0; j < width; ++j) {
            double expected = c[r * width + j];
            for (std::size_t k = 0; k < width; ++k) {
                expected += double{w[r * width + k]} * a[k * width + j];
            }
            EXPECT_NEAR(found[r * width + j], expected, 1e-4) << r << ", " << j;
        }
    }
}

TEST_P(InputShiftTest, NothingMissingLeavesWeightsAsTheyAre) {
    add(std::vector<float>(tokens * width, 0.0F), std::vector<float>(tokens * rows, 0.0F));
    EXPECT_EQ(corrected(), w);
}

TEST_P(InputShiftTest, WeightsOfDeadInputsStayAsTheyAre) {
    for (std::size_t t = 0; t < tokens; ++t) {
        x[t * width + 2] = 0.0F;
    }
    add({}, random_values(tokens * rows, 6));
    const std::vector<float> found = corrected();
    for (std::size_t r = 0; r < rows; ++r) {
        EXPECT_EQ(found[r * width + 2], w[r * width + 2]);
        EXPECT_NE(found[r * width + 1], w[r * width + 1]);
    }
}

TEST_P(InputShiftTest, ThePenaltyIsWhatHelpsOnOtherTokens) {
    // The same relation in both halves: the less penalty the better.
    const std::vector<float> wanted = random_values(rows * width, 7);
    std::vector<float> lacks = outputs(x, wanted, width);
    add({}, lacks);
    EXPECT_EQ(shift.choose_penalty(as_weights(w)), 0.01);
    // In second halves the opposite of the first: whatever is learnt does harm.
    InputShift other(*backend);
    for (std::size_t i = 0; i < lacks.size() / 2; ++i) {
        lacks[lacks.size() / 2 + i] = -lacks[i];
    }
    std::copy_n(x.begin(), x.size() / 2, x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2));
    other.add({x.data(), tokens, width});
    other.add_missing_output({lacks.data(), tokens, rows});
    EXPECT_FALSE(other.choose_penalty(as_weights(w)));
    // Nothing to compare with.
    InputShift one(*backend);
    one.add({x.data(), 1, width});
    one.add_missing_output({lacks.data(), 1, rows});
    EXPECT_EQ(one.choose_penalty(as_weights(w)), 1.0);
}

TEST_P(InputShiftTest, ThePenaltyIsWhatHelpsThoseWhoReadTheOutputs) {
    // The first output lacks the same in both halves, the others ten times as much, in the second
    // half the opposite of the first: what is learnt of them does harm.
    const std::vector<float> wanted = random_values(rows * width, 7);
    std::copy_n(x.begin(), x.size() / 2, x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2));
    std::vector<float> lacks = outputs(x, wanted, width);
    for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t r = 1; r < rows; ++r) {
            lacks[t * rows + r] *= t < tokens / 2 ? 10.0F : -10.0F;
        }
    }
    shift.add({x.data(), tokens, width});
    shift.add_missing_output({lacks.data(), tokens, rows});
    EXPECT_FALSE(shift.choose_penalty(as_weights(w)));
    const std::vector<float> first{1.0F, 0.0F, 0.0F, -1.0F, 0.0F, 0.0F};
    EXPECT_EQ(shift.choose_penalty(as_weights(w), {first.data(), 2, rows}), 0.01);
    const std::vector<float> second{0.0F, 1.0F, 0.0F};
    EXPECT_FALSE(shift.choose_penalty(as_weights(w), {second.data(), 1, rows}));
}

TEST_P(InputShiftTest, ATokenCountsAsTheSquareOfItsFactor) {
    // Every other token counts twice and the rest not at all: as if these were not there.
    const std::vector<float> lacks = outputs(x, random_values(rows * width, 7), width);
    std::vector<float> factors(tokens);
    std::vector<float> some_x;
    std::vector<float> some_lacks;
    for (std::size_t t = 1; t < tokens; t += 2) {
        factors[t] = std::sqrt(2.0F);
        some_x.insert(some_x.end(), &x[t * width], &x[t * width] + width);
        some_lacks.insert(some_lacks.end(), &lacks[t * rows], &lacks[t * rows] + rows);
    }
    shift.add({x.data(), tokens, width}, factors);
    shift.add_missing_output({lacks.data(), tokens, rows});
    InputShift fewer(*backend);
    fewer.add({some_x.data(), tokens / 2, width});
    fewer.add_missing_output({some_lacks.data(), tokens / 2, rows});
    const std::vector<float> gram = shift.gram();
    const std::vector<float> expected = fewer.gram();
    for (std::size_t i = 0; i < gram.size(); ++i) {
        EXPECT_NEAR(gram[i], expected[i], 1e-5);
    }
    std::vector<float> other = w;
    fewer.correct(as_weights(other), 1e-7);
    const std::vector<float> found = corrected();
    for (std::size_t i = 0; i < w.size(); ++i) {
        EXPECT_NEAR(found[i], other[i], 1e-4);
    }
}

TEST_P(InputShiftTest, RefusesOtherTokensAndOtherWeights) {
    EXPECT_THROW(shift.add_missing_input({x.data(), 4, width}), ShapeError);
    add({}, outputs(x, w, width));
    EXPECT_THROW(shift.add_missing_output({x.data(), 4, width}), ShapeError);
    std::vector<float> one_row(width);
    EXPECT_THROW(shift.correct(as_weights(one_row), 0.01), ShapeError);
}

INSTANTIATE_TEST_SUITE_P(Backends, InputShiftTest, ::testing::Values("reference", "cpu"),
                         [](const auto& test) { return std::string(test.param); });

/// Every unit rounded to 3 bits but the embedding.
class Refinement : public ::testing::TestWithParam<const char*> {
protected:
    Refinement() : job(GetParam()), context(job.context()) {
        job.prepare();
        choice = job.plan_of(job.rounded());
        for (std::size_t u = 0; u < context.spec().units.size(); ++u) {
            const UnitSpec& unit = context.spec().units[u];
            if (context.spec().tensors[unit.tensors.front()].role == Role::token_embedding) {
                choice[u] = source_setting();
            }
        }
    }

    /// Refines blocks `first` to the head.
    void refine(const std::string& name, std::size_t first = 0) const {
        make_directories(context.run.root() / "refined" / name);
        Refiner refiner(context, {first, choice, name, "f"});
        for (std::size_t b = first; b <= context.spec().n_blocks; ++b) {
            refiner.run({b, choice, name, "f"});
        }
    }
    [[nodiscard]] std::filesystem::path artifact(const std::string& name, std::size_t block) const {
        return context.run.refined(name, place_name(block, context.spec().n_blocks));
    }

    SmallJob job;
    const JobContext& context;
    std::vector<Setting> choice;
};

TEST_P(Refinement, BringsTheModelNearerToTheSource) {
    refine("plan");
    const TokenSequences& samples = job.samples().calibration;
    const auto states = [&](const WeightSource& weights) {
        const FinalStates found = final_states(context.spec(), weights, context.backend(), samples);
        return std::vector<float>(found.data(), found.data() + found.size());
    };
    const std::vector<float> source = states(SourceWeights(*context.source));
    const auto distance = [&](const std::vector<float>& found) {
        double sum = 0.0;
        for (std::size_t i = 0; i < source.size(); ++i) {
            sum += std::pow(double{found[i]} - source[i], 2);
        }
        return sum;
    };
    const double before = distance(states(PlanWeights(context, choice)));
    const double after = distance(states(PlanWeights(context, choice, "plan")));
    EXPECT_LT(after, 0.9 * before);
}

TEST_P(Refinement, WithNothingBeforeAUnitNothingChanges) {
    refine("plan");
    const PlanWeights plan(context, choice);
    const PlanWeights refined(context, choice, "plan");
    for (const UnitSpec& unit : context.spec().units) {
        if (unit.block != std::optional<std::size_t>(0) || unit.input != Signal::attention_in) {
            continue;
        }
        for (const std::size_t t : unit.tensors) {
            std::vector<float> a(element_count(context.spec().tensors[t].shape));
            std::vector<float> b(a.size());
            const auto [rows, cols] = matrix_extents(context.spec().tensors[t].shape);
            decode(plan.read(t), {a.data(), rows, cols});
            decode(refined.read(t), {b.data(), rows, cols});
            EXPECT_EQ(a, b) << context.spec().tensors[t].name;
        }
    }
}

TEST_P(Refinement, BytesStayAndDenseUnitsAreLeftAlone) {
    choice.at(context.spec().units.size() - 1) = source_setting();
    refine("plan");
    const PlanWeights plan(context, choice);
    const PlanWeights refined(context, choice, "plan");
    for (std::size_t u = 0; u < context.spec().units.size(); ++u) {
        const UnitSpec& unit = context.spec().units[u];
        for (const std::size_t t : unit.tensors) {
            const EncodedTensor before = plan.read(t);
            const EncodedTensor after = refined.read(t);
            EXPECT_EQ(stored_bytes(after), stored_bytes(before));
            if (!is_refined(context.spec(), unit, choice[u])) {
                EXPECT_EQ(content_hash(after), content_hash(before));
            }
        }
    }
}

TEST_P(Refinement, GoesOnFromFinishedBlocksToTheSameBytes) {
    refine("plan");
    const std::size_t last = context.spec().n_blocks;
    std::vector<std::string> whole;
    for (std::size_t b = 1; b <= last; ++b) {
        whole.push_back(read_file(artifact("plan", b)));
        std::filesystem::remove(artifact("plan", b));
    }
    refine("plan", 1);
    for (std::size_t b = 1; b <= last; ++b) {
        EXPECT_EQ(read_file(artifact("plan", b)), whole[b - 1]) << b;
    }
}

INSTANTIATE_TEST_SUITE_P(Models, Refinement,
                         ::testing::Values("llama", "gpt2", "gpt_neox", "opt_post_norm", "phi",
                                           "qwen3", "bert"),
                         [](const auto& test) { return std::string(test.param); });

TEST(RefinementTask, SurvivesItsTextForm) {
    const RefinementTask task{3, {source_setting()}, "plan", "f"};
    const RefinementTask back = refinement_task_from_json(to_json(task));
    EXPECT_EQ(back.block, task.block);
    EXPECT_EQ(back.choice, task.choice);
    EXPECT_EQ(back.name, task.name);
    EXPECT_EQ(back.fingerprint, task.fingerprint);
}

TEST(RefinedError, NamesTheUnitThatIsNotThere) {
    const SmallJob job("llama");
    make_directories(job.context().run.root());
    const auto file = job.context().run.root() / "refined.h5";
    ArtifactWriter writer(file);
    writer.group("/", {});
    writer.group("/units", {});
    writer.commit();
    try {
        (void)read_refined_error(file, "block_0000.o");
        FAIL();
    } catch (const DataError& error) {
        EXPECT_THAT(error.what(), HasSubstr("block_0000.o"));
    }
}

}  // namespace
}  // namespace lathe
