#include "lib/tokenizer/regex.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/tokenizer/regex_dialect.hpp"
#include "temporary_file.hpp"

namespace lathe::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> matches(std::string_view pattern, std::string_view text) {
    std::vector<Span> spans;
    Regex(pattern).find_all(text, spans);
    std::vector<std::string> texts;
    for (const Span& span : spans) {
        texts.emplace_back(text.substr(span.begin, span.end - span.begin));
    }
    return texts;
}

TEST(Regex, FindsAllMatchesFromLeftToRight) {
    EXPECT_THAT(matches("a+", "aab aaa"), ElementsAre("aa", "aaa"));
    EXPECT_THAT(matches("\\p{L}+", "\xC3\xA9t\xC3\xA9 1"), ElementsAre("\xC3\xA9t\xC3\xA9"));
    EXPECT_THAT(matches("a", ""), IsEmpty());
}

TEST(Regex, CountsEmptyMatchesUnlessTheyFollowAMatch) {
    // Before a, before b, x itself, not directly behind it, at the end.
    EXPECT_THAT(matches("x*", "abxc"), ElementsAre("", "", "x", ""));
    EXPECT_THAT(matches("", "\xE6\x97\xA5"), ElementsAre("", ""));
}

TEST(Regex, SpaceIsWhiteSpaceOfUnicode) {
    EXPECT_THAT(matches("\\s", "\xC2\xA0|\xE3\x80\x80"), ElementsAre("\xC2\xA0", "\xE3\x80\x80"));
    EXPECT_THAT(matches("\\s", "\xE1\xA0\x8E"), IsEmpty());  // U+180E
    EXPECT_THAT(matches("[^\\S\\n]", " \n\t"), ElementsAre(" ", "\t"));
}

TEST(Regex, FollowsOnigurumaInOtherEscapes) {
    EXPECT_THAT(matches("\\h+", "xA1 g"), ElementsAre("A1"));
    EXPECT_THAT(matches("\\u0041", "ABA"), ElementsAre("A", "A"));
    EXPECT_THAT(matches("(?m:a.b)", "a\nb"), ElementsAre("a\nb"));
    EXPECT_THAT(matches("^b", "b\nb"), ElementsAre("b", "b"));
    EXPECT_THAT(matches("[[:punct:]]", "a!$\xE2\x82\xAC"), ElementsAre("!", "$", "\xE2\x82\xAC"));
    EXPECT_THAT(matches("\\w", "\xC2\xBD-_"), ElementsAre("\xC2\xBD", "_"));
    EXPECT_THAT(matches("\\bna\xCC\x88\\b", "na\xCC\x88 na\xCC\x88x"), ElementsAre("na\xCC\x88"));
    EXPECT_THAT(matches("[]a]", "]a"), ElementsAre("]", "a"));
}

TEST(Regex, RefusesWhatItWouldMisread) {
    const auto refusal = [](std::string_view pattern) {
        return message_of<DataError>([&] { (void)to_pcre2_pattern(pattern); });
    };
    EXPECT_THAT(refusal("[a&&b]"), HasSubstr("&& inside [...]"));
    EXPECT_THAT(refusal("[a[bc]]"), HasSubstr("a set inside [...]"));
    EXPECT_THAT(refusal("\\d{1,3}+"), HasSubstr("{...}+"));
    EXPECT_THAT(refusal("\\Qa\\E"), HasSubstr("\\Q"));
    EXPECT_THAT(refusal("[[:^alpha:]]"), HasSubstr("[:^alpha:]"));
    EXPECT_THAT(refusal("a{,3}"), HasSubstr("{,n}"));
    EXPECT_THAT(refusal("a(?i)b|c"), HasSubstr("(?i) behind its beginning"));
    // They may go round for ever: (a||\g<1>)* does.
    for (const char* call :
         {"(a||\\g<1>)*", "a(?R)?b", "(a(?1)?)", "(a(?-1)?)", "(?<n>a(?&n)?)", "(?P<n>a(?P>n)?)"}) {
        EXPECT_NE(refusal(call), "") << call;
    }
    EXPECT_EQ(refusal("(?i)\\p{L}+|\\p{N}{1,3}|x{2}|(?m-i:a)(?<!b)"), "");
}

TEST(Regex, NamesTheFaultInAPattern) {
    EXPECT_THAT(message_of<DataError>([] { Regex regex("(a"); }),
                ::testing::AllOf(HasSubstr("\"(a\""), HasSubstr("missing closing parenthesis")));
}

TEST(Regex, MatchesLongRunsWithGroups) {
    // A group that repeats needs matcher stack for each turn.
    const std::string text(200'000, 'a');
    EXPECT_THAT(matches("(?:a|b)+", text), ElementsAre(text));
}

}  // namespace
}  // namespace lathe::tokenizer
