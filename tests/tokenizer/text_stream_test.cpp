#include "lib/tokenizer/text_stream.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

std::unique_ptr<Tokenizer> fixture(const std::string& name) {
    return load_tokenizer(std::filesystem::path(LATHE_SOURCE_DIR) / "tests/data/tokenizer" / name);
}

bool is_whole(const std::string& piece) {
    return piece.empty() || (static_cast<unsigned char>(piece.front()) & 0xC0U) != 0x80U;
}

class TextStreamOf : public ::testing::TestWithParam<const char*> {};

TEST_P(TextStreamOf, SaysInPiecesWhatDecodeSaysAtOnce) {
    const auto tokenizer = fixture(GetParam());
    const std::string texts[] = {"And God said, Let there be light:  and there was.",
                                 "naïve 😀👍🏽 日本語 \n\n end ", "   three spaces"};
    for (const std::string& text : texts) {
        const auto ids = tokenizer->encode(text, false);
        for (const std::size_t n_context : {std::size_t{0}, std::size_t{1}, ids.size() / 2}) {
            const auto context = std::span(ids).first(n_context);
            TextStream stream(*tokenizer, context);
            std::string told = tokenizer->decode(context);
            if (told.ends_with("\xEF\xBF\xBD")) continue;  // the context is cut inside a character
            for (const std::uint32_t id : std::span(ids).subspan(n_context)) {
                const std::string piece = stream.add(id);
                EXPECT_TRUE(is_whole(piece)) << text;
                told += piece;
            }
            told += stream.finish();
            EXPECT_EQ(told, tokenizer->decode(ids)) << text;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Own, TextStreamOf,
                         ::testing::Values("gpt2", "llama2", "llama3", "metaspace", "qwen2",
                                           "sentencepiece", "word_end"),
                         [](const auto& test) { return std::string(test.param); });

TEST(TextStream, HoldsAnIncompleteCharacterBack) {
    const auto tokenizer = fixture("llama3");
    const auto ids = tokenizer->encode("a😀", false);
    ASSERT_EQ(ids.size(), 5U) << "one token a byte of the emoji";
    TextStream stream(*tokenizer, {});
    EXPECT_EQ(stream.add(ids[0]), "a");
    EXPECT_EQ(stream.add(ids[1]), "");
    EXPECT_EQ(stream.add(ids[2]), "");
    EXPECT_EQ(stream.add(ids[3]), "");
    EXPECT_EQ(stream.add(ids[4]), "😀");
    EXPECT_EQ(stream.add(ids[1]), "");
    EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
    EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, WhatWasToldStaysWhenLaterBytesSpoilIt) {
    // In the fixture 199 and 173 are the bytes C3 and A9, together U+00E9, and 450 is "b". A run of
    // byte tokens that is not UTF-8 as a whole is one U+FFFD a byte, also where it was told before.
    const auto tokenizer = fixture("llama2");
    const std::vector<std::uint32_t> ids{199, 173, 199, 450};
    const std::string three = "\uFFFD\uFFFD\uFFFD";
    ASSERT_EQ(tokenizer->decode(ids), three + "b");
    TextStream stream(*tokenizer, {});
    EXPECT_EQ(stream.add(ids[0]), "");
    EXPECT_EQ(stream.add(ids[1]), "\u00E9");
    EXPECT_EQ(stream.add(ids[2]), "");
    EXPECT_EQ(stream.add(ids[3]), three + "b");
    EXPECT_EQ(stream.add(450), "b");
    EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace lathe
