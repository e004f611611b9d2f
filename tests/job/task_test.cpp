#include "lib/job/task.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

TEST(TaskJson, ThereAndBack) {
    const Task task{"compress", "compress/block_0003.qkv", R"({"block":3,"text":"a\nb \"c\""})",
                    1.0 / 3.0, 7};
    EXPECT_EQ(task_from_json(to_json(task)), task);
    EXPECT_EQ(task_from_json(to_json(Task{})), Task{});
    EXPECT_THAT(to_json(task), Not(HasSubstr("\n")));  // the journal has one line per record

    const TaskResult result{"compress/block_0003.qkv", true, 74, "größer", 1e-9, -1};
    EXPECT_EQ(task_result_from_json(to_json(result)), result);
    EXPECT_EQ(task_result_from_json(to_json(TaskResult{})), TaskResult{});
}

TEST(TaskJson, AMessageThatIsNoUtf8StillArrives) {
    TaskResult result;
    result.text = "bad byte \xff here";
    EXPECT_EQ(task_result_from_json(to_json(result)).text, "bad byte \xEF\xBF\xBD here");
    EXPECT_THROW((void)to_json(Task{"a", "\xff", "", 1.0, 0}), InternalError);
}

TEST(TaskJson, NumbersMustBeFinite) {
    Task task;
    task.cost = std::numeric_limits<double>::infinity();
    EXPECT_THAT([&] { (void)to_json(task); },
                ThrowsMessage<InternalError>(HasSubstr("task message: a number is not finite")));
}

TEST(TaskJson, RefusesWhatIsMalformed) {
    const std::string good = to_json(Task{"a", "b", "c", 1.0, 2});
    ASSERT_EQ(good, R"({"arguments":"c","cost":1.0,"id":"b","rank":2,"stage":"a"})");
    const std::pair<const char*, const char*> cases[] = {
        {"", "not a JSON object"},
        {"[1]", "not a JSON object"},
        {R"({"arguments":"c","cost":1.0,"id":"b","rank":2)", "not a JSON object"},
        {R"({"arguments":"c","cost":1.0,"id":"b","rank":2})", "4 fields instead of 5"},
        {R"({"arguments":"c","cost":1.0,"id":"b","rank":2,"step":"a"})", "no field \"stage\""},
        {R"({"arguments":"c","cost":null,"id":"b","rank":2,"stage":"a"})",
         "field \"cost\" is not a number"},
        {R"({"arguments":"c","cost":1.0,"id":5,"rank":2,"stage":"a"})",
         "field \"id\" is not a string"},
        {R"({"arguments":"c","cost":1.0,"id":"b","rank":2.5,"stage":"a"})",
         "field \"rank\" is not a whole number"},
        {R"({"arguments":"c","cost":1.0,"id":"b","rank":4294967296,"stage":"a"})", "32 bits"},
        // -1, that is any rank, if it were cut to 64 bits with a sign.
        {R"({"arguments":"c","cost":1.0,"id":"b","rank":18446744073709551615,"stage":"a"})",
         "32 bits"},
    };
    for (const auto& [text, part] : cases) {
        SCOPED_TRACE(text);
        EXPECT_THAT([t = text] { (void)task_from_json(t); },
                    ThrowsMessage<InternalError>(HasSubstr(part)));
    }
    EXPECT_THAT(
        [] {
            (void)task_result_from_json(
                R"({"exit_code":0,"id":"a","ok":1,"rank":0,"seconds":0.0,"text":""})");
        },
        ThrowsMessage<InternalError>(HasSubstr("task result message: field \"ok\" is not true")));
}

}  // namespace
}  // namespace lathe
