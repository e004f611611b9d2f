#include "lib/core/task_progress.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(TaskProgress, GrowsOnlyUntilTheNextTask) {
    begin_progress();
    EXPECT_EQ(task_progress(), 0.0);
    tell_progress(1, 4);
    EXPECT_DOUBLE_EQ(task_progress(), 0.25);
    tell_progress(0, 4);
    EXPECT_DOUBLE_EQ(task_progress(), 0.25);
    tell_progress(9, 4);
    EXPECT_DOUBLE_EQ(task_progress(), 1.0);
    begin_progress();
    EXPECT_EQ(task_progress(), 0.0);
    tell_progress(0, 0);
    EXPECT_DOUBLE_EQ(task_progress(), 1.0) << "nothing to do is done";
}

TEST(TaskProgress, PartsOfParts) {
    begin_progress();
    {
        const ProgressPart second(1, 2);
        tell_progress(1, 2);
        EXPECT_DOUBLE_EQ(task_progress(), 0.75);
        {
            const ProgressPart last(2, 4, 4);
            tell_progress(1, 2);
            EXPECT_DOUBLE_EQ(task_progress(), 0.875);
        }
        EXPECT_DOUBLE_EQ(task_progress(), 1.0) << "a part is done with its object";
    }
    begin_progress();
    tell_progress(1, 2);
    EXPECT_DOUBLE_EQ(task_progress(), 0.5) << "of the whole again";
}

TEST(TaskProgress, IsReadByAnotherThread) {
    begin_progress();
    tell_progress(1, 2);
    std::thread([] { EXPECT_DOUBLE_EQ(task_progress(), 0.5); }).join();
}

}  // namespace
}  // namespace lathe
