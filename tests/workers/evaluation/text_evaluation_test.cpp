#include "workers/evaluation/text_evaluation.hpp"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path data_dir = fs::path(LATHE_SOURCE_DIR) / "tests/data";

ModelSpec spec_of(const std::string& family) {
    const fs::path file = data_dir / "parity" / family / "config.json";
    return read_model_spec(read_file(file), file.string());
}

/// The rows of the fixture's own ids, as one stream or as texts.
TextEvaluation evaluation(const std::string& family, std::size_t limit, std::size_t length) {
    return {
        {{data_dir / "parity" / family / "reference.h5"}, limit, length}, spec_of(family), nullptr};
}

TEST(TextEvaluation, ALimitTakesTheFirstWindows) {
    const TokenSequences all = evaluation("llama", 0, 5).samples();
    const TokenSequences some = evaluation("llama", 2, 5).samples();
    ASSERT_GT(all.count(), 2U);
    EXPECT_EQ(some.count(), 2U);
    EXPECT_EQ(some.ids, std::vector<std::uint32_t>(all.ids.begin(), all.ids.begin() + 10));
    EXPECT_EQ(evaluation("llama", 1000, 5).samples().count(), all.count());
}

TEST(TextEvaluation, ALimitTakesTheFirstTextsOfAClassifier) {
    const TokenSequences all = evaluation("bert", 0, 16).samples();
    const TokenSequences some = evaluation("bert", 2, 16).samples();
    EXPECT_EQ(all.count(), 3U);
    EXPECT_EQ(some.count(), 2U);
    EXPECT_EQ(some.segments.size(), some.ids.size());
    EXPECT_EQ(some.lengths[1], all.lengths[1]);
}

TEST(TextEvaluation, WindowsAreNoLongerThanTheModelsPositions) {
    ModelSpec spec = spec_of("llama");
    spec.max_positions = 10;
    const TextQuestions questions{{data_dir / "parity/llama/reference.h5"}};
    EXPECT_EQ(TextEvaluation(questions, spec, nullptr).samples().max_length(), 10U);
}

// Two windows of four tokens with losses 6 and 3: mean 9 / 6 = 1.5; residuals 1.5 and -1.5 on three
// tokens each, so the standard error of the mean is sqrt(2 * 4.5 / 1) / 6 = 0.5, that of the
// perplexity e^1.5 / 2.
TEST(TextEvaluation, PerplexityAndItsStandardError) {
    const TextEvaluation two = evaluation("llama", 2, 4);
    const TextSummary summary = two.summarise({{6.0, 3.0}, {3.0, 3.0}, {1.0, 3.0}, {1, 2}});
    EXPECT_EQ(summary.sequences, 2U);
    EXPECT_EQ(summary.tokens, 6U);
    EXPECT_DOUBLE_EQ(summary.perplexity.value().value, std::exp(1.5));
    EXPECT_DOUBLE_EQ(summary.perplexity.value().standard_error, std::exp(1.5) / 2.0);
    EXPECT_DOUBLE_EQ(summary.reference_perplexity.value().value, std::exp(1.0));
    EXPECT_DOUBLE_EQ(summary.reference_perplexity.value().standard_error, 0.0);
    EXPECT_DOUBLE_EQ(summary.kl.value().value, 0.5);  // of 8 tokens
    // Residuals 1 and -1 of 4 tokens each: sqrt(2 * 2 / 1) / 8.
    EXPECT_DOUBLE_EQ(summary.kl.value().standard_error, 0.25);
    // 3 and 0 more than the reference, of 3 tokens each: mean 0.5, residuals 1.5 and -1.5.
    EXPECT_DOUBLE_EQ(summary.nll_difference.value().mean, 0.5);
    EXPECT_DOUBLE_EQ(summary.nll_difference.value().standard_error, 0.5);
    EXPECT_DOUBLE_EQ(summary.top1_agreement.value(), 0.375);
    const TextSummary one = evaluation("llama", 1, 4).summarise({{6.0}, {}, {}, {}});
    EXPECT_DOUBLE_EQ(one.perplexity.value().value, std::exp(2.0));
    EXPECT_TRUE(std::isnan(one.perplexity.value().standard_error));
    EXPECT_FALSE(one.kl || one.reference_perplexity || one.top1_agreement);
}

TEST(TextEvaluation, AClassifierHasOnlyDivergence) {
    const TextSummary summary =
        evaluation("bert", 2, 16).summarise({{0.0, 0.0}, {0.0, 0.0}, {0.5, 0.25}, {1, 0}});
    EXPECT_FALSE(summary.perplexity || summary.reference_perplexity);
    EXPECT_EQ(summary.sequences, 2U);
    EXPECT_DOUBLE_EQ(summary.kl.value().value, 0.375);
    EXPECT_FALSE(summary.nll_difference);
    EXPECT_DOUBLE_EQ(summary.top1_agreement.value(), 0.5);
}

TEST(TextEvaluation, TooShortATextIsRefused) {
    ModelSpec spec = spec_of("llama");
    spec.max_positions = 100000;
    const TextQuestions questions{{data_dir / "parity/llama/reference.h5"}, 0, 5000};
    EXPECT_THAT([&] { (void)TextEvaluation(questions, spec, nullptr); },
                ::testing::ThrowsMessage<DataError>(HasSubstr("one window has 5000")));
}

}  // namespace
}  // namespace lathe
