#include "orchestrator/batch/process.hpp"

#include <chrono>

#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe::batch {
namespace {

TEST(Process, OutputErrorsAndCode) {
    const auto result = run_process({"sh", "-c", "echo out; echo err >&2; exit 3"});
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_EQ(result.output, "out\n");
    EXPECT_EQ(result.errors, "err\n");
    EXPECT_FALSE(result.ok());
    EXPECT_TRUE(run_process({"true"}).ok());
}

TEST(Process, ArgumentsAreNoShellText) {
    EXPECT_EQ(run_process({"printf", "%s|", "a b", "$HOME", ";exit", "'"}).output,
              "a b|$HOME|;exit|'|");
}

TEST(Process, MoreOutputThanAPipeHolds) {
    // 1 to 100000, a line each: 588895 bytes; a pipe holds 64 KiB.
    EXPECT_EQ(run_process({"seq", "100000"}).output.size(), 588895U);
}

TEST(Process, StandardInputIsEmpty) {
    EXPECT_EQ(run_process({"cat"}).output, "");
}

TEST(Process, SlurmTellsTimesInSeconds) {
    EXPECT_EQ(run_process({"printenv", "SLURM_TIME_FORMAT"}).output, "%s\n");
}

TEST(Process, ASignalIsSeen) {
    EXPECT_EQ(run_process({"sh", "-c", "kill -9 $$"}).exit_code, 128 + 9);
}

TEST(Process, OneThatDoesNotAnswerIsEnded) {
    const auto start = std::chrono::steady_clock::now();
    const auto result = run_process({"sleep", "30"}, 0.2);
    EXPECT_TRUE(result.timed_out);
    EXPECT_FALSE(result.ok());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Process, AProgramThatIsNotThere) {
    EXPECT_THROW(static_cast<void>(run_process({"no-such-program-here"})), MissingInputError);
}

}  // namespace
}  // namespace lathe::batch
