#include "lib/core/text_input.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

using namespace std::string_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

void refuses(const std::string& bytes, const std::string& problem) {
    EXPECT_THAT([&] { (void)text_of_bytes(bytes, "t.txt"); },
                ThrowsMessage<DataError>(AllOf(HasSubstr("t.txt: "), HasSubstr(problem))))
        << problem;
}

TEST(TextInput, AMarkSaysWhatATextIs) {
    const std::string text = "a\u00e9\u4e2d\U0001F600\n";
    EXPECT_EQ(text_of_bytes(text, "t.txt"), text);
    EXPECT_EQ(text_of_bytes("\xEF\xBB\xBF" + text, "t.txt"), text);
    // From `printf ... | iconv -t UTF-16LE` and its like, with the mark before them.
    EXPECT_EQ(text_of_bytes("\xFF\xFE"
                            "a\0\xE9\0\x2D\x4E\x3D\xD8\x00\xDE\n\0"s,
                            "t.txt"),
              text);
    EXPECT_EQ(text_of_bytes("\xFE\xFF\0a\0\xE9\x4E\x2D\xD8\x3D\xDE\x00\0\n"s, "t.txt"), text);
    EXPECT_EQ(text_of_bytes("\xFF\xFE\0\0"
                            "a\0\0\0\x00\xF6\x01\0"s,
                            "t.txt"),
              "a\U0001F600");
    EXPECT_EQ(text_of_bytes("\0\0\xFE\xFF\0\0\0a"s, "t.txt"), "a");
    EXPECT_EQ(text_of_bytes("", "t.txt"), "");
}

TEST(TextInput, WhatIsNoUtf8IsRefusedWithOffsetAndByte) {
    refuses("ab\ncaf\xE9 x", "byte 0xE9 at offset 6 (line 2) is not UTF-8");
    refuses("caf\xE9 x", "iconv -f LATIN1");
    refuses("ab\xC3", "byte 0xC3 at offset 2");        // cut short
    refuses("\xED\xA0\x80", "byte 0xED at offset 0");  // a surrogate
    refuses("\xC0\x80", "byte 0xC0 at offset 0");      // too long a form
    refuses("\x89PNG", "byte 0x89 at offset 0");
}

TEST(TextInput, AByteZeroIsNoText) {
    refuses("I\0n\0"s, "byte 0x00 at offset 1 (line 1) is no text");
    refuses("I\0n\0"s, "UTF-16 without a byte order mark");
    refuses(
        "\xFF\xFE"
        "a\0\0\0"s,
        "byte 0x00 at offset 1");
}

TEST(TextInput, ABrokenUtf16IsRefused) {
    refuses(
        "\xFF\xFE"
        "a"s,
        "UTF-16LE by its byte order mark, but at offset 2 the file ends");
    refuses(
        "\xFF\xFE\x3D\xD8"
        "a\0"s,
        "at offset 2 the surrogate 0xD83D has no other half");
    refuses("\xFE\xFF\xDE\x00"s, "at offset 2 the surrogate 0xDE00 has no other half");
    refuses("\0\0\xFE\xFF\0\x11\0\0"s, "0x110000 is above U+10FFFF");
}

TEST(PythonJson, ItsNumbersThatAreNoJsonCountAsNull) {
    const auto row =
        parse_python_json(R"({"a": NaN, "b": [-Infinity, Infinity], "t": "NaN \" Infinity"})", "x");
    EXPECT_TRUE(row["a"].is_null());
    EXPECT_EQ(row["b"].size(), 2U);
    EXPECT_EQ(row["t"], "NaN \" Infinity");
    EXPECT_THAT([] { (void)parse_python_json(R"({"a": NaNs})", "f.jsonl:2"); },
                ThrowsMessage<DataError>(HasSubstr("f.jsonl:2: not JSON, byte 7")));
    EXPECT_THAT([] { (void)parse_python_json("{\"t\": \"x \\ud83d\"}", "f.jsonl:2"); },
                ThrowsMessage<DataError>(HasSubstr("surrogate")));
}

}  // namespace
}  // namespace lathe
