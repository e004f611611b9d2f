#include "lib/job/budget.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Kind = Budget::Kind;

struct Form {
    const char* text;
    Kind kind;
    double value;
};

TEST(Budget, EachForm) {
    const Form forms[] = {
        {"4x", Kind::ratio, 4.0},
        {"2.5X", Kind::ratio, 2.5},
        {"0.5x", Kind::ratio, 0.5},
        {"3.5bpw", Kind::bits_per_weight, 3.5},
        {"3 BPW", Kind::bits_per_weight, 3.0},
        {"123456", Kind::bytes, 123456.0},
        {"123456B", Kind::bytes, 123456.0},
        {"1e9", Kind::bytes, 1e9},
        {"2.74MB", Kind::bytes, 2740000.0},
        {"35GB", Kind::bytes, 35e9},
        {"35 gb", Kind::bytes, 35e9},
        {"12kB", Kind::bytes, 12000.0},
        {"1.5TB", Kind::bytes, 1.5e12},
        {"1KiB", Kind::bytes, 1024.0},
        {"1MiB", Kind::bytes, 1048576.0},
        {"1GiB", Kind::bytes, 1073741824.0},
        {"2tib", Kind::bytes, 2199023255552.0},
    };
    for (const Form& form : forms) {
        SCOPED_TRACE(form.text);
        EXPECT_EQ(parse_budget(form.text), (Budget{form.kind, form.value}));
    }
}

TEST(Budget, SizesAreWholeBytesRoundedDown) {
    EXPECT_EQ(parse_budget("1.0019KB").value, 1001.0);
    EXPECT_EQ(parse_budget("0.7KiB").value, 716.0);  // 716.8
    // 1.15 is no double; the product must not become 1149999. Every hundredth of a MB is whole.
    for (int hundredths = 1; hundredths < 1000; ++hundredths) {
        const std::string decimals = std::to_string(100 + hundredths % 100).substr(1);
        const std::string text = std::to_string(hundredths / 100) + "." + decimals + "MB";
        ASSERT_EQ(parse_budget(text).value, hundredths * 10000.0) << text;
    }
}

TEST(Budget, Refusals) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "not understood"},
        {"x", "not understood"},
        {"four", "not understood"},
        {"nan", "not understood"},
        {"infx", "not understood"},
        {"1e999", "out of range"},
        {"4y", "unknown unit \"y\""},
        {"4 ", "unknown unit"},
        {"4xx", "unknown unit \"xx\""},
        {"0x10", "unknown unit \"x10\""},
        {"35G", "unknown unit \"G\""},
        {" 4x", "not understood"},
        {"0", "above zero"},
        {"0x", "above zero"},
        {"-4x", "above zero"},
        {"-1GB", "above zero"},
        {"1.5", "has no decimals"},
        {"0.25x", "4x is a quarter"},
        {"1001x", "0.5 to 1000"},
        {"0.0005KB", "1 byte to 2^53"},
        {"65bpw", "0.01 to 64"},
        {"10000TB", "2^53"},
    };
    for (const auto& [text, part] : cases) {
        SCOPED_TRACE(text);
        EXPECT_THAT([t = text] { (void)parse_budget(t); },
                    ThrowsMessage<UsageError>(HasSubstr(part)));
        EXPECT_THAT([t = text] { (void)parse_budget(t); },
                    ThrowsMessage<UsageError>(HasSubstr(std::string("\"") + text + "\"")));
    }
}

TEST(Budget, TheMessageListsTheForms) {
    EXPECT_THAT([] { (void)parse_budget("lots"); },
                ThrowsMessage<UsageError>(HasSubstr("4x), a size (2.74MB, 35GB, 1GiB, 123456)")));
}

TEST(Budget, LimitInBytes) {
    EXPECT_EQ((Budget{Kind::bytes, 1234.0}).limit_bytes(99, 99), 1234U);
    EXPECT_EQ((Budget{Kind::ratio, 4.0}).limit_bytes(1003, 0), 250U);  // 250.75
    EXPECT_EQ((Budget{Kind::ratio, 3.0}).limit_bytes(300, 0), 100U);
    EXPECT_EQ((Budget{Kind::bits_per_weight, 3.5}).limit_bytes(0, 17), 7U);  // 7.4375
    // 2.3 as a double lies below 2.3.
    EXPECT_EQ((Budget{Kind::bits_per_weight, 2.3}).limit_bytes(0, 8000000), 2300000U);
    EXPECT_EQ((Budget{Kind::ratio, 4.0}).limit_bytes(350000000001ULL, 0), 87500000000ULL);
    EXPECT_THROW((void)(Budget{Kind::ratio, 0.0}).limit_bytes(1, 1), InternalError);
}

TEST(Budget, TextAndBack) {
    EXPECT_EQ(to_string(Budget{}), "4x");
    EXPECT_EQ(to_string(Budget{Kind::bytes, 35e9}), "35GB");
    EXPECT_EQ(to_string(Budget{Kind::bytes, 2740000.0}), "2.74MB");
    EXPECT_EQ(to_string(Budget{Kind::bytes, 1005000.0}), "1.005MB");
    EXPECT_EQ(to_string(Budget{Kind::bytes, 1073741824.0}), "1073741824");
    EXPECT_EQ(to_string(Budget{Kind::bytes, 7.0}), "7");
    EXPECT_EQ(to_string(Budget{Kind::bits_per_weight, 3.5}), "3.5bpw");
    for (const double value : {1.0, 999.0, 1000.0, 1001.0, 123456789.0, 123456000.0, 5e12,
                               999999999999000.0, 9007199254740000.0, 9007199254740991.0}) {
        const Budget budget{Kind::bytes, value};
        EXPECT_EQ(parse_budget(to_string(budget)), budget) << to_string(budget);
    }
    for (const double value : {1.0, 1.0 / 3.0 + 1.0, 3.9999999999999996, 7.1}) {
        const Budget ratio{Kind::ratio, value};
        EXPECT_EQ(parse_budget(to_string(ratio)), ratio) << to_string(ratio);
        const Budget bits{Kind::bits_per_weight, value / 64.0};
        EXPECT_EQ(parse_budget(to_string(bits)), bits) << to_string(bits);
    }
}

}  // namespace
}  // namespace lathe
