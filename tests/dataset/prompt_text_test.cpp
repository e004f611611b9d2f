#include "lib/dataset/prompt_text.hpp"

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(PromptText, StripsAllWhiteSpaceOfUnicode) {
    EXPECT_EQ(stripped(" \t\n a b \r\n"), "a b");
    EXPECT_EQ(stripped("\xC2\xA0"
                       "a\xE3\x80\x80\xE2\x80\x83 "),
              "a");
    EXPECT_EQ(stripped(" \n "), "");
    EXPECT_EQ(stripped(""), "");
    EXPECT_EQ(stripped("\xE2\x80\x8B"
                       "a"),
              "\xE2\x80\x8B"
              "a");  // zero-width space is none
    EXPECT_EQ(trailing_space("a \xC2\xA0"), 3U);
    EXPECT_EQ(trailing_space(" a"), 0U);
}

TEST(PromptText, CapitalisesLikePython) {
    EXPECT_EQ(capitalised("he meets Bob"), "He meets bob");
    EXPECT_EQ(capitalised("Then HE"), "Then he");
    EXPECT_EQ(capitalised("'s dog"), "'s dog");
    EXPECT_EQ(capitalised(""), "");
}

TEST(PromptText, RemovesMarks) {
    // Each expected text was computed with re.sub and str.replace of Python 3.11.
    EXPECT_EQ(without_marks("[header] How to [title] Find it. [step] Look."),
              " How to. Find it. Look.");
    EXPECT_EQ(without_marks("a [title]"), "a. ");
    EXPECT_EQ(without_marks("a [b [c] d] e"), "a d] e");
    EXPECT_EQ(without_marks("a [b\nc] [d] e"), "a [b\nc] e");
    EXPECT_EQ(without_marks("open [ never closed"), "open [ never closed");
    EXPECT_EQ(without_marks("three   spaces"), "three  spaces");
    EXPECT_EQ(without_marks("[]x[]"), "x");
    EXPECT_EQ(without_marks(""), "");
}

TEST(PromptText, CountsCodePoints) {
    EXPECT_EQ(n_characters("ice"), 3U);
    EXPECT_EQ(n_characters("tr\xC3\xA8s \xF0\x9F\x98\x80"), 6U);
    EXPECT_EQ(n_characters(""), 0U);
}

}  // namespace
}  // namespace lathe
