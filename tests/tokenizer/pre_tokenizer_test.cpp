#include "lib/tokenizer/pre_tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "temporary_file.hpp"

namespace lathe::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string file = "t.json";

std::vector<std::string> cut(const std::string& settings, const std::string& text,
                             bool at_start = true) {
    const nlohmann::json value = parse_json(settings);
    const auto pre_tokenizer = read_pre_tokenizer(JsonPlace(value, file));
    PreTokenizedText words{text, {{0, text.size()}}, at_start};
    pre_tokenizer->apply(words);
    std::vector<std::string> out;
    for (const Span& word : words.words) out.emplace_back(words.word(word));
    return out;
}

std::string split_settings(const std::string& behavior, bool invert = false) {
    return R"({"type":"Split","pattern":{"String":"-"},"behavior":")" + behavior +
           R"(","invert":)" + (invert ? "true" : "false") + "}";
}

TEST(PreTokenizer, NullCutsNothing) {
    EXPECT_THAT(cut("null", "a b"), ElementsAre("a b"));
}

// The text and the five results are those of the original's documentation.
TEST(PreTokenizer, SplitsByBehavior) {
    const std::string text = "the-final--countdown";
    EXPECT_THAT(cut(split_settings("Removed"), text), ElementsAre("the", "final", "countdown"));
    EXPECT_THAT(cut(split_settings("Isolated"), text),
                ElementsAre("the", "-", "final", "-", "-", "countdown"));
    EXPECT_THAT(cut(split_settings("MergedWithPrevious"), text),
                ElementsAre("the-", "final-", "-", "countdown"));
    EXPECT_THAT(cut(split_settings("MergedWithNext"), text),
                ElementsAre("the", "-final", "-", "-countdown"));
    EXPECT_THAT(cut(split_settings("Contiguous"), text),
                ElementsAre("the", "-", "final", "--", "countdown"));
}

TEST(PreTokenizer, InvertedSplitKeepsTheMatches) {
    EXPECT_THAT(cut(split_settings("Removed", true), "a-b--"), ElementsAre("-", "-", "-"));
}

TEST(PreTokenizer, MatchesAtBothEndsStandAlone) {
    EXPECT_THAT(cut(split_settings("MergedWithPrevious"), "-a-"), ElementsAre("-", "a-"));
    EXPECT_THAT(cut(split_settings("MergedWithNext"), "-a-"), ElementsAre("-a", "-"));
    EXPECT_THAT(cut(split_settings("Removed"), "--"), IsEmpty());
}

TEST(PreTokenizer, ByteLevelMapsBytesAndCutsAsGpt2) {
    const std::string settings = R"({"type":"ByteLevel","add_prefix_space":false})";
    EXPECT_THAT(cut(settings, "I'm at  \xC3\xA9!\n"),
                ElementsAre("I", "'m", "\u0120at", "\u0120", "\u0120\u00C3\u00A9", "!", "\u010A"));
}

TEST(PreTokenizer, ByteLevelAddsASpaceOnce) {
    const std::string settings =
        R"({"type":"ByteLevel","add_prefix_space":true,"use_regex":false})";
    EXPECT_THAT(cut(settings, "a"), ElementsAre("\u0120a"));
    EXPECT_THAT(cut(settings, " a"), ElementsAre("\u0120a"));
}

TEST(PreTokenizer, MetaspacePrependsByScheme) {
    const auto settings = [](const std::string& scheme) {
        return R"({"type":"Metaspace","replacement":"_","prepend_scheme":")" + scheme + "\"}";
    };
    EXPECT_THAT(cut(settings("always"), "a  b", false), ElementsAre("_a", "_", "_b"));
    EXPECT_THAT(cut(settings("first"), "a b"), ElementsAre("_a", "_b"));
    EXPECT_THAT(cut(settings("first"), "a b", false), ElementsAre("a", "_b"));
    EXPECT_THAT(cut(settings("never"), "a b"), ElementsAre("a", "_b"));
    EXPECT_THAT(cut(R"({"type":"Metaspace","replacement":"_","add_prefix_space":true,)"
                    R"("split":false})",
                    "a b"),
                ElementsAre("_a_b"));
}

TEST(PreTokenizer, FirstWordIsFirstOnlyIfNothingBeforeItWasDropped) {
    const std::string settings =
        R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},
            {"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]})";
    EXPECT_THAT(cut(settings, "a b"), ElementsAre("_a", "b"));
    EXPECT_THAT(cut(settings, " a b"), ElementsAre("a", "b"));
}

TEST(PreTokenizer, SimpleKinds) {
    EXPECT_THAT(cut(R"({"type":"Digits","individual_digits":true})", "a12b"),
                ElementsAre("a", "1", "2", "b"));
    EXPECT_THAT(cut(R"({"type":"Digits","individual_digits":false})", "a12b"),
                ElementsAre("a", "12", "b"));
    EXPECT_THAT(cut(R"({"type":"Whitespace"})", "ab_1 c!? d"), ElementsAre("ab_1", "c", "!?", "d"));
    EXPECT_THAT(cut(R"({"type":"WhitespaceSplit"})", " ab\t\nc! "), ElementsAre("ab", "c!"));
    EXPECT_THAT(cut(R"({"type":"BertPreTokenizer"})", "don't  stop"),
                ElementsAre("don", "'", "t", "stop"));
    EXPECT_THAT(cut(R"({"type":"Punctuation","behavior":"Contiguous"})", "a!?b"),
                ElementsAre("a", "!?", "b"));
    EXPECT_THAT(cut(R"({"type":"Punctuation"})", "a!?"), ElementsAre("a", "!", "?"));
}

TEST(PreTokenizer, RefusalsNamePlaceAndChoices) {
    const auto refusal = [](const std::string& settings) {
        return message_of<DataError>([&] { (void)cut(settings, "a"); });
    };
    EXPECT_THAT(
        refusal(R"({"type":"Sequence","pretokenizers":[{"type":"UnicodeScripts"}]})"),
        ::testing::AllOf(HasSubstr("t.json: pretokenizers[0]: "),
                         HasSubstr("\"UnicodeScripts\" is not supported"),
                         HasSubstr("BertPreTokenizer, ByteLevel, CharDelimiterSplit, Digits")));
    EXPECT_THAT(
        refusal(split_settings("Dropped")),
        HasSubstr("t.json: behavior: behavior \"Dropped\" is not known; known are Removed"));
    EXPECT_THAT(refusal(R"({"type":"Split","pattern":{"Regex":"(a"},"behavior":"Removed"})"),
                HasSubstr("t.json: pattern.Regex: the pattern \"(a\" is wrong"));
    EXPECT_THAT(refusal(R"({"type":"Metaspace","replacement":"ab"})"),
                HasSubstr("replacement: found \"ab\", expected a string of one character"));
}

}  // namespace
}  // namespace lathe::tokenizer
