#include "lib/tokenizer/unicode.hpp"

#include <gtest/gtest.h>

#include "lib/core/utf8.hpp"

namespace lathe::tokenizer {
namespace {

const std::string replacement = "\xEF\xBF\xBD";

TEST(RepairUtf8, LeavesValidTextAlone) {
    const std::string text = "a\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80\x00z";
    EXPECT_EQ(repair_utf8(text), text);
    EXPECT_EQ(repair_utf8(""), "");
    EXPECT_TRUE(is_valid_utf8(text));
}

TEST(RepairUtf8, ReplacesEachMaximalPartOnce) {
    // The table of Unicode 15, section 3.9, "U+FFFD for ill-formed sequences".
    EXPECT_EQ(repair_utf8("\xC0\xAF"), replacement + replacement);
    EXPECT_EQ(repair_utf8("\xE0\x80\xBF"), replacement + replacement + replacement);
    EXPECT_EQ(repair_utf8("\xED\xA0\x80"), replacement + replacement + replacement);
    EXPECT_EQ(repair_utf8("\xF4\x91\x92\x93\xFF"
                          "A\x80\xBF"
                          "B"),
              replacement + replacement + replacement + replacement + replacement + "A" +
                  replacement + replacement + "B");
    EXPECT_EQ(repair_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                          "A"),
              replacement + replacement + replacement + replacement + "A");
    EXPECT_EQ(repair_utf8("x\xE6\x97"), "x" + replacement);
    EXPECT_FALSE(is_valid_utf8("x\xE6\x97"));
}

TEST(CodePoints, AreReadForwardsAndBackwards) {
    const std::string text = "a\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80";
    const std::u32string expected = U"a\u00E9\u65E5\U0001F600";

    std::u32string forwards;
    for (std::size_t i = 0; i < text.size();) forwards += next_code_point(text, i);
    std::u32string backwards;
    for (std::size_t i = text.size(); i > 0;) backwards += previous_code_point(text, i);
    std::string encoded;
    for (const char32_t c : forwards) append_utf8(encoded, c);

    EXPECT_EQ(forwards, expected);
    EXPECT_EQ(backwards, std::u32string(expected.rbegin(), expected.rend()));
    EXPECT_EQ(encoded, text);
    EXPECT_EQ(count_code_points(text), 4U);
}

TEST(NormalForm, DiffersByForm) {
    // e + acute, the ligature fi, the Angstrom sign
    const std::string text = "xe\xCC\x81y\xEF\xAC\x81z\xE2\x84\xAB";
    EXPECT_EQ(to_normal_form(text, NormalForm::nfc), "x\xC3\xA9y\xEF\xAC\x81z\xC3\x85");
    EXPECT_EQ(to_normal_form(text, NormalForm::nfd), "xe\xCC\x81y\xEF\xAC\x81zA\xCC\x8A");
    EXPECT_EQ(to_normal_form(text, NormalForm::nfkc), "x\xC3\xA9yfiz\xC3\x85");
    EXPECT_EQ(to_normal_form(text, NormalForm::nfkd), "xe\xCC\x81yfizA\xCC\x8A");
}

TEST(NormalForm, KeepsZeroBytesAndPlainText) {
    const std::string text("a\0b", 3);
    EXPECT_EQ(to_normal_form(text, NormalForm::nfkc), text);
    EXPECT_EQ(to_normal_form("", NormalForm::nfc), "");
}

TEST(Lowercase, HandlesTheSpecialI) {
    std::string out;
    for (const char32_t c : {U'A', U'\u0130', U'\u00C9', U'\u1E9E', U'\u03A3'}) {
        append_lowercase(out, c);
    }
    EXPECT_EQ(out, "ai\xCC\x87\xC3\xA9\xC3\x9F\xCF\x83");
}

TEST(Categories, AreThoseOfUnicode) {
    EXPECT_TRUE(is_white_space(0x3000));
    EXPECT_FALSE(is_white_space(0x200B));  // zero width space is none
    EXPECT_FALSE(is_white_space(0x180E));
    EXPECT_TRUE(is_numeric(0x2167));  // Roman numeral eight
    EXPECT_TRUE(is_punctuation('$'));
    EXPECT_FALSE(is_punctuation(0x20AC));  // the euro sign is a symbol
    EXPECT_TRUE(is_mark(0x0903));
    EXPECT_FALSE(is_nonspacing_mark(0x0903));
    EXPECT_TRUE(is_control(0x200D));
    EXPECT_FALSE(is_control(0x0378));  // unassigned
}

}  // namespace
}  // namespace lathe::tokenizer
