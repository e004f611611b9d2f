#include "lib/job/candidate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const Setting gptq{"integer", {{"solver", "gptq"}, {"num_bits", "4"}, {"group_size", "64"}}};

TEST(Setting, CanonicalText) {
    EXPECT_EQ(to_string(Setting{"dense", {}}), "dense");
    EXPECT_EQ(to_string(gptq), "integer group_size=64 num_bits=4 solver=gptq");
}

TEST(Setting, TextAndBack) {
    for (const Setting& setting :
         {Setting{"dense", {}}, gptq, Setting{"nm", {{"pattern", "2:4"}}}}) {
        EXPECT_EQ(setting_from_string(to_string(setting)), setting);
    }
}

TEST(Setting, RefusesWhatToStringDoesNotWrite) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "no method"},
        {" dense", "no method"},
        {"=", "no method"},
        {"a=1", "no method"},
        {"dense ", "\"\" is not KEY=VALUE"},
        {"integer  num_bits=4", "\"\" is not KEY=VALUE"},
        {"integer num_bits", "\"num_bits\" is not KEY=VALUE"},
        {"integer num_bits=", "\"num_bits=\" is not KEY=VALUE"},
        {"integer =4", "\"=4\" is not KEY=VALUE"},
        {"integer num_bits=4=5", "\"num_bits=4=5\" is not KEY=VALUE"},
        {"integer num_bits=4\n", "is not KEY=VALUE"},
        {"integer num_bits=4 group_size=64", "\"group_size\" is out of order"},
        {"integer num_bits=4 num_bits=4", "\"num_bits\" is out of order or given twice"},
    };
    for (const auto& [text, part] : cases) {
        SCOPED_TRACE(text);
        EXPECT_THAT([t = text] { (void)setting_from_string(t); },
                    ThrowsMessage<DataError>(HasSubstr(part)));
    }
}

TEST(Setting, ATextThatWouldNotReadBackIsABug) {
    EXPECT_THROW((void)to_string(Setting{"", {}}), InternalError);
    EXPECT_THROW((void)to_string(Setting{"a b", {}}), InternalError);
    EXPECT_THROW((void)to_string(Setting{"a", {{"", "1"}}}), InternalError);
    EXPECT_THROW((void)to_string(Setting{"a", {{"k", ""}}}), InternalError);
    EXPECT_THAT(
        [] {
            (void)to_string(Setting{"a", {{"k", "1=2"}}});
        },
        ThrowsMessage<InternalError>(HasSubstr("the value \"1=2\"")));
}

TEST(Choice, IsWrittenWithEachSettingOnce) {
    const Setting four{"integer", {{"num_bits", "4"}}};
    const std::vector<Setting> choice{four, {"dense", {}}, four, four};
    const std::string text = choice_to_json(choice);
    EXPECT_EQ(text, R"({"settings":["integer num_bits=4","dense"],"units":[0,1,0,0]})");
    EXPECT_EQ(choice_from_json(text), choice);
    EXPECT_TRUE(choice_from_json(choice_to_json({})).empty());
}

TEST(Choice, AUnitWithoutASettingIsRefused) {
    EXPECT_THAT([] { (void)choice_from_json(R"({"settings":["dense"],"units":[0,1]})"); },
                ThrowsMessage<DataError>(HasSubstr("a unit has setting 1 of 1")));
}

}  // namespace
}  // namespace lathe
