#include "orchestrator/rank_log.hpp"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "lib/job/run_directory.hpp"
#include "orchestrator/exit_file.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;

TEST(RankLog, TheLastLines) {
    EXPECT_EQ(last_lines("", 2), "");
    EXPECT_EQ(last_lines("a\n", 2), "a\n");
    EXPECT_EQ(last_lines("a\nb\n", 2), "a\nb\n");
    EXPECT_EQ(last_lines("a\nb\nc\n", 2), "b\nc\n");
    EXPECT_EQ(last_lines("a\nb\nc", 2), "b\nc");
    EXPECT_EQ(last_lines("\n\n\nx\n", 2), "\nx\n");
}

TEST(RankLog, EventsGoToTheFileOfTheRank) {
    const std::filesystem::path run =
        std::filesystem::path(::testing::TempDir()) / "lathe_rank_log";
    std::filesystem::remove_all(run);
    make_directories(RunDirectory(run).logs());
    start_logging(LogLevel::quiet, 12);
    CommandLine line;
    line.command = "run";
    line.overrides = {"model=m", "output=" + run.string()};
    EXPECT_EQ(last_words(line, 12), "");
    EXPECT_EQ(load_logged_job(line, 12).output, run);
    static_cast<void>(load_logged_job(line, 12));  // again: the same file, once
    log_detail("seen_in_the_file n=1");
    const std::string words = last_words(line, 12);
    EXPECT_THAT(words, HasSubstr(" rank=12 seen_in_the_file n=1\n"));
    EXPECT_EQ(words.find('\n'), words.size() - 1) << "one line: " << words;
    EXPECT_TRUE(std::filesystem::exists(run / "logs/rank_0012.log"));
    std::filesystem::remove_all(run);
}

TEST(RankLog, AsJsonForPrograms) {
    const std::filesystem::path file =
        std::filesystem::path(::testing::TempDir()) / "lathe_json.log";
    std::filesystem::remove(file);
    start_logging(LogLevel::quiet, 3, LogFormat::json);
    log_to_file(file);
    log_info("task_failed reason=\"no \\ \n line\"");
    const nlohmann::json event = parse_json(read_file(file));
    EXPECT_EQ(event.at("rank"), 3);
    EXPECT_EQ(event.at("level"), "info");
    EXPECT_EQ(event.at("event"), "task_failed reason=\"no \\ \n line\"");
    EXPECT_TRUE(event.contains("time") && event.contains("host"));
    start_logging(LogLevel::quiet, 0);
    std::filesystem::remove(file);
}

TEST(ExitFile, HoldsTheCode) {
    const std::filesystem::path file =
        std::filesystem::path(::testing::TempDir()) / "lathe_exit_code";
    leave_exit_code(file, 75);
    EXPECT_EQ(read_file(file), "75\n");
    std::filesystem::remove(file);
    leave_exit_code("", 75);
    leave_exit_code("/no/such/folder/exit_code", 75);  // a warning
}

}  // namespace
}  // namespace lathe
