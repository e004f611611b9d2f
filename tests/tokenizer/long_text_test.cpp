// Texts that are hard on an implementation: long words, invalid bytes, many threads.
#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/tokenizer/tokenizer.hpp"

namespace lathe {
namespace {

using Ids = std::vector<std::uint32_t>;

const char* const names[] = {"bert",      "cased", "gpt2",          "llama2",  "llama3",
                             "metaspace", "qwen2", "sentencepiece", "word_end"};

class LongText : public ::testing::TestWithParam<const char*> {
protected:
    std::unique_ptr<Tokenizer> tokenizer_ = load_tokenizer(std::filesystem::path(LATHE_SOURCE_DIR) /
                                                           "tests/data/tokenizer" / GetParam());
};

std::string repeat(std::string_view text, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) out += text;
    return out;
}

TEST_P(LongText, CostDoesNotGrowWithTheSquare) {
    // A quadratic step would take 10^10 operations here; n log n takes milliseconds, and sanitizers
    // or a busy machine may multiply that.
    for (const char* part :
         {"a", " ", "\u00E9", "\u65E5", "the", "e\u0301", "\n", "!", "<", "12"}) {
        const auto start = std::chrono::steady_clock::now();
        const Ids ids = tokenizer_->encode(repeat(part, 100'000), false);
        (void)tokenizer_->decode(ids);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        EXPECT_LT(seconds.count(), 20.0) << part;
    }
}

TEST_P(LongText, InvalidBytesActAsReplacementCharacters) {
    const std::string replacement = "\uFFFD";
    EXPECT_EQ(tokenizer_->encode("ab\xFF"
                                 "c\xE6\x97",
                                 true),
              tokenizer_->encode("ab" + replacement + "c" + replacement, true));
}

TEST_P(LongText, ThreadsShareATokenizer) {
    const std::string text = repeat("And God said, Let there be light: 1234 \u65E5\u672C! ", 200);
    const Ids expected = tokenizer_->encode(text, true);
    std::vector<Ids> results(4);
    {
        std::vector<std::jthread> threads;
        for (Ids& result : results) {
            threads.emplace_back([&] { result = tokenizer_->encode(text, true); });
        }
    }
    EXPECT_THAT(results, ::testing::Each(expected));
}

INSTANTIATE_TEST_SUITE_P(Own, LongText, ::testing::ValuesIn(names),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace lathe
