#include "workers/network/generation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/parallel.hpp"
#include "lib/tokenizer/tokenizer.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/network/final_states.hpp"
#include "workers/network/head.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<std::uint32_t>;

const std::filesystem::path source_dir = LATHE_SOURCE_DIR;

/// A model, a device, and texts made with them.
class Continuation {
public:
    explicit Continuation(const std::filesystem::path& directory)
        : pool_(2),
          backend_(kernels::make_backend(kernels::BackendKind::cpu, pool_)),
          model_(directory) {}

    [[nodiscard]] const ModelSpec& spec() const { return model_.spec(); }
    [[nodiscard]] SequenceRunner runner(std::size_t max_tokens) const {
        return {spec(), model_.weights(), *backend_, max_tokens};
    }
    [[nodiscard]] Ids generate(const Ids& prompt, const GenerationOptions& options) const {
        SequenceRunner fresh = runner(prompt.size() + options.max_new_tokens);
        Ids told;
        Ids ids = lathe::generate(fresh, spec(), prompt, options, [&](std::uint32_t id) {
                      told.push_back(id);
                  }).ids;
        EXPECT_EQ(told, ids);
        return ids;
    }
    /// Logits after the last token, the whole sequence computed again without a cache.
    [[nodiscard]] std::vector<float> logits_without_cache(const Ids& ids) const {
        TokenSequences sequence;
        sequence.append(ids);
        const FinalStates states = final_states(spec(), model_.weights(), *backend_, sequence);
        Head head(spec(), model_.weights(), *backend_);
        const MatrixView<const float> logits = head.logits(states, ids.size() - 1, 1);
        return {logits.data, logits.data + logits.cols};
    }

private:
    ThreadPool pool_;
    std::unique_ptr<kernels::Backend> backend_;
    ModelToRun model_;
};

GenerationOptions greedy(std::size_t max_new_tokens) {
    GenerationOptions options;
    options.max_new_tokens = max_new_tokens;
    return options;
}

/// Models that differ in how they know positions. The prompts are longer than the windows of
/// mistral (7) and phi3 (9).
class CachedGeneration : public ::testing::TestWithParam<const char*> {};

TEST_P(CachedGeneration, AgreesWithComputingTheWholeSequenceEachTime) {
    const Continuation continuation(source_dir / "tests/data/parity" / GetParam());
    const Ids prompt{3, 17, 60, 9, 44, 81, 5, 29, 70, 12, 33};
    Ids ids = prompt;
    Ids expected;
    for (std::size_t i = 0; i < 20; ++i) {
        expected.push_back(choose_token(continuation.logits_without_cache(ids), greedy(1), 0.0));
        ids.push_back(expected.back());
    }
    SequenceRunner runner = continuation.runner(31);
    ModelSpec endless = continuation.spec();
    endless.eos_ids.clear();
    const Generated found = generate(runner, endless, prompt, greedy(20), [](std::uint32_t) {});
    EXPECT_EQ(found.ids, expected);
    EXPECT_EQ(found.stop, StopReason::new_tokens);
}

TEST_P(CachedGeneration, APromptMayComeInPieces) {
    const Continuation continuation(source_dir / "tests/data/parity" / GetParam());
    const Ids prompt{3, 17, 60, 9, 44, 81, 5, 29, 70, 12, 33};
    SequenceRunner runner = continuation.runner(prompt.size());
    (void)runner.append(std::span(prompt).first(4));
    (void)runner.append(std::span(prompt).subspan(4, 6));
    const auto found = runner.append(std::span(prompt).last(1));
    const auto expected = continuation.logits_without_cache(prompt);
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(found[i], expected[i], 1e-4F * (1.0F + std::abs(expected[i]))) << i;
    }
    EXPECT_THROW((void)runner.append(std::span(prompt).first(1)), ShapeError);
}

INSTANTIATE_TEST_SUITE_P(Models, CachedGeneration,
                         ::testing::Values("bloom", "gpt_neox", "llama", "mistral", "opt", "phi3"),
                         [](const auto& test) { return std::string(test.param); });

// model.generate(do_sample=False, max_new_tokens=40) of transformers 5.23.0 in float32; on the way
// the two likeliest tokens are never closer than 0.028.
TEST(Generation, GreedyTextIsThatOfTransformers) {
    const std::filesystem::path directory = source_dir / "examples/kjv-llama";
    const Continuation continuation(directory);
    const auto tokenizer = load_tokenizer(directory);
    const auto text = [&](const std::string& prompt) {
        return continuation.generate(tokenizer->encode(prompt, true), greedy(40));
    };
    EXPECT_THAT(text("In the beginning"),
                ElementsAre(14, 270, 289, 261, 1101, 299, 306, 394, 1184, 322, 397, 14, 270, 292,
                            371, 599, 14, 270, 292, 371, 1316, 14, 270, 292, 371, 1316, 14, 270,
                            292, 371, 1316, 14, 270, 292, 371, 1316, 14, 270, 292, 371));
    const Ids begat = text("And he begat sons and daughters:");
    EXPECT_THAT(begat, ElementsAre(270, 311, 1291, 400, 269, 87, 73, 28, 270, 311, 1291, 400, 269,
                                   87, 73, 16, 201, 298, 400, 269, 87, 73, 565, 602, 584, 311, 1291,
                                   400, 446, 398, 326, 982, 29, 270, 500, 1470, 335, 262, 412, 16));
    EXPECT_EQ(tokenizer->decode(begat),
              " and he begat Serug: and he begat Serug.\nAnd Serug lived after he begat Salah his "
              "wife; and she bare him a son.");
}

TEST(Generation, StopsWhereTheTextOrTheRoomEnds) {
    const Continuation continuation(source_dir / "examples/kjv-llama");
    const Ids prompt{14, 270};
    const Ids whole = continuation.generate(prompt, greedy(6));
    ASSERT_EQ(whole.size(), 6U);
    ModelSpec ending = continuation.spec();
    ending.eos_ids = {5000, whole[3]};
    const auto first = static_cast<std::size_t>(std::ranges::find(whole, whole[3]) - whole.begin());
    SequenceRunner runner = continuation.runner(10);
    const Generated ended = generate(runner, ending, prompt, greedy(6), [](std::uint32_t) {});
    EXPECT_EQ(ended.stop, StopReason::end_of_text);
    EXPECT_EQ(ended.ids, Ids(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(first)));
    // Room for 5 tokens: the last new one is chosen but not fed.
    SequenceRunner narrow = continuation.runner(5);
    const Generated full =
        generate(narrow, continuation.spec(), prompt, greedy(6), [](std::uint32_t) {});
    EXPECT_EQ(full.stop, StopReason::positions);
    EXPECT_EQ(full.ids, Ids(whole.begin(), whole.begin() + 4));
}

TEST(Generation, SamplingDependsOnTheSeedAlone) {
    const Continuation continuation(source_dir / "examples/kjv-llama");
    const Ids prompt{14, 270};
    GenerationOptions options = greedy(20);
    options.temperature = 1.0;
    options.seed = 7;
    const Ids seven = continuation.generate(prompt, options);
    EXPECT_EQ(continuation.generate(prompt, options), seven);
    options.seed = 8;
    EXPECT_NE(continuation.generate(prompt, options), seven);
    options.top_p = 1e-9;
    EXPECT_EQ(continuation.generate(prompt, options), continuation.generate(prompt, greedy(20)));
}

TEST(ChooseToken, TakesTheFirstOfTheLikeliestAtTemperatureZero) {
    EXPECT_EQ(choose_token(std::vector<float>{1, 3, 2, 3}, {}, 0.9), 1U);
}

TEST(ChooseToken, DrawsByProbability) {
    // Probabilities 0.2, 0.5, 0.3: in falling order tokens 1, 2, 0.
    const std::vector<float> logits{std::log(0.2F), std::log(0.5F), std::log(0.3F)};
    const auto drawn = [&](double temperature, double top_p, double unit) {
        return choose_token(logits, {1, temperature, top_p, 0}, unit);
    };
    EXPECT_EQ(drawn(1.0, 1.0, 0.0), 1U);
    EXPECT_EQ(drawn(1.0, 1.0, 0.499), 1U);
    EXPECT_EQ(drawn(1.0, 1.0, 0.501), 2U);
    EXPECT_EQ(drawn(1.0, 1.0, 0.799), 2U);
    EXPECT_EQ(drawn(1.0, 1.0, 0.801), 0U);
    EXPECT_EQ(drawn(1.0, 1.0, std::nextafter(1.0, 0.0)), 0U);
    // Tokens 1 and 2 have 0.8 together: 0.5 / 0.8 = 0.625 of it is token 1's.
    EXPECT_EQ(drawn(1.0, 0.7, 0.62), 1U);
    EXPECT_EQ(drawn(1.0, 0.7, 0.63), 2U);
    EXPECT_EQ(drawn(1.0, 0.7, std::nextafter(1.0, 0.0)), 2U);
    // Temperature 1/2 squares: 0.04, 0.25, 0.09 of 0.38; token 1 has 0.658.
    EXPECT_EQ(drawn(0.5, 1.0, 0.65), 1U);
    EXPECT_EQ(drawn(0.5, 1.0, 0.66), 2U);
    EXPECT_EQ(drawn(0.5, 0.5, 0.999), 1U);
}

TEST(GenerationOptions, AreRefusedOutOfRange) {
    const auto refusal = [](const GenerationOptions& options) {
        try {
            check_generation_options(options);
        } catch (const UsageError& error) {
            return std::string(error.what());
        }
        return std::string("none");
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_NO_THROW(check_generation_options({1, 0.0, 1.0, 0}));
    EXPECT_THAT(refusal({0, 0.0, 1.0, 0}), HasSubstr("max-new-tokens is 0"));
    EXPECT_THAT(refusal({1, -0.5, 1.0, 0}), HasSubstr("temperature is -0.5"));
    EXPECT_THAT(refusal({1, nan, 1.0, 0}), HasSubstr("temperature is nan"));
    EXPECT_THAT(refusal({1, std::numeric_limits<double>::infinity(), 1.0, 0}),
                HasSubstr("temperature is inf"));
    EXPECT_THAT(refusal({1, 0.0, 0.0, 0}), HasSubstr("top-p is 0.0"));
    EXPECT_THAT(refusal({1, 0.0, 1.01, 0}), HasSubstr("above 0 and at most 1"));
    EXPECT_THAT(refusal({1, 0.0, nan, 0}), HasSubstr("top-p is nan"));
}

}  // namespace
}  // namespace lathe
