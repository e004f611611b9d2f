#include "orchestrator/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "orchestrator/run_records.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

StageProgress at_work() {
    StageProgress progress;
    progress.stage = "compress";
    progress.done = 3;
    progress.total = 9;
    progress.running = {{"compress/embedding", 1, 185.0, 0.42}, {"compress/block_0", 0, 2.0, 0.0}};
    return progress;
}

/// What is printed on standard error.
template <class Work>
std::string printed(const Work& work) {
    ::testing::internal::CaptureStderr();
    work();
    return ::testing::internal::GetCapturedStderr();
}

TEST(Progress, RunningTasksInWords) {
    EXPECT_EQ(running_text({}), "");
    EXPECT_EQ(running_text(at_work().running),
              "compress/embedding 42 % on rank 1 for 3 min 05 s and 1 more");
    EXPECT_EQ(running_text({{"t", 0, 2.0, 0.0}}), "t on rank 0 for 2.0 s") << "nothing was told";
}

TEST(Progress, ALineAfterALongSilenceOnly) {
    const auto lines_with = [](std::chrono::seconds silence) {
        return printed([&] {
            Progress progress(Progress::Style::lines, 2, silence);
            progress.update(at_work());
        });
    };
    EXPECT_THAT(lines_with(std::chrono::seconds(30)), IsEmpty());
    EXPECT_EQ(
        lines_with(std::chrono::seconds(0)),
        "compress 3/9 at work: compress/embedding 42 % on rank 1 for 3 min 05 s and 1 more\n");
    TaskResult last;
    last.id = "compress/block_1";
    const std::string finished = printed([&] {
        Progress progress(Progress::Style::lines, 2);
        StageProgress now = at_work();
        now.last = &last;
        progress.update(now);
    });
    EXPECT_THAT(finished, HasSubstr("compress/block_1 took"));
}

TEST(Progress, TheBarShowsTheLongestTaskAndDoesNotWrap) {
    const std::string bar = printed([&] {
        Progress progress(Progress::Style::bar, 2);
        StageProgress now = at_work();
        progress.update(now);
        now.running.front().task = "compress/" + std::string(2000, 'x');
        progress.update(now);
    });
    EXPECT_THAT(bar, HasSubstr("3/9  embedding 42 %, 3 min 05 s"));
    EXPECT_THAT(bar, HasSubstr("3/9  xxx"));
    EXPECT_LE(bar.size(), 2000U) << "cut off";
}

TEST(Progress, WithAPlanThereIsALineForTheJob) {
    const auto shown = [](Progress::Style style) {
        return printed([&] {
            Progress progress(style, 2, std::chrono::seconds(0));
            progress.set_plan({{"calibrate", 5.0}, {"compress", 60.0}, {"search", 65.0}});
            StageProgress now = at_work();
            now.eta_seconds = 90.0;
            progress.update(now);
            progress.finish("done");
        });
    };
    EXPECT_THAT(shown(Progress::Style::lines), HasSubstr(", 1 min 30 s left; job 2 min 35 s left"));
    const std::string bars = shown(Progress::Style::bar);
    EXPECT_THAT(bars,
                HasSubstr("\n\rjob        [                    ] 0 %, 2 min 35 s left\x1b[K"));
    EXPECT_THAT(bars, HasSubstr("\x1b[A")) << "back to the stage's line";
    EXPECT_TRUE(bars.ends_with("\n\x1b[K")) << "the job's line goes with the last stage";
}

TEST(Progress, StatusSaysWhatIsAtWorkUntilTheEnd) {
    const auto file = std::filesystem::temp_directory_path() /
                      ("lathe_progress_" + std::to_string(::getpid()) + ".json");
    Progress progress(Progress::Style::silent, 2);
    progress.set_status_file(file);
    progress.update(at_work());
    EXPECT_THAT(read_status_file(file).at_work, HasSubstr("compress/embedding 42 %"));
    progress.finish("stopped");
    EXPECT_THAT(read_status_file(file).at_work, IsEmpty());
    std::filesystem::remove(file);
}

}  // namespace
}  // namespace lathe
