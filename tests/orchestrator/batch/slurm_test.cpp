#include "orchestrator/batch/slurm.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "orchestrator/batch/submission.hpp"

namespace lathe::batch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// A batch system that gives one answer and keeps what it was asked.
class Answering {
public:
    explicit Answering(ProcessResult result) : result_(std::move(result)) {}
    Slurm slurm() {
        return Slurm([this](const std::vector<std::string>& command) {
            asked = command;
            return result_;
        });
    }
    std::vector<std::string> asked;

private:
    ProcessResult result_;
};

ProcessResult says(const std::string& output) {
    return {0, false, output, ""};
}
ProcessResult fails(const std::string& errors) {
    return {1, false, "", errors};
}

QueueEntry in_state(const std::string& state) {
    QueueEntry entry;
    entry.state = state;
    return entry;
}

Slurm not_installed() {
    return Slurm([](const std::vector<std::string>& command) -> ProcessResult {
        throw MissingInputError("no " + command.front());
    });
}

TEST(Slurm, SubmitsArgumentByArgumentAndReadsTheId) {
    Answering system(says("17;cluster\n"));
    EXPECT_EQ(system.slurm().submit("/a b/job.sh", {"--qos=high"}), "17");
    EXPECT_THAT(system.asked, ElementsAre("sbatch", "--parsable", "--qos=high", "/a b/job.sh"));
}

TEST(Slurm, ARefusalIsReportedInSbatchsWords) {
    for (const auto& result :
         {fails("sbatch: error: invalid partition specified: nix"), says("what\n")}) {
        try {
            static_cast<void>(Answering(result).slurm().submit("job.sh", {}));
            FAIL();
        } catch (const IoError& error) {
            EXPECT_THAT(error.what(), HasSubstr(result.errors + (result.ok() ? "what" : "")));
            EXPECT_THAT(error.what(), HasSubstr("job.sh"));
        }
    }
}

TEST(Slurm, ReadsTheQueue) {
    // As squeue of Slurm 22.05 wrote it.
    Answering system(
        says("2_[1-3%1]|PENDING|JobArrayTaskLimit|N/A|N/A|0||\n"
             "1|RUNNING|None|1795960591|1795964191|3|n[1-2]|\n"));
    const QueueAnswer answer = system.slurm().queue({"1", "2"});
    EXPECT_THAT(system.asked, ::testing::Contains("--jobs=1,2"));
    ASSERT_TRUE(answer.answered);
    ASSERT_THAT(answer.entries, SizeIs(2));
    EXPECT_EQ(answer.entries[0].id, "2_[1-3%1]");
    EXPECT_EQ(answer.entries[0].reason, "JobArrayTaskLimit");
    EXPECT_FALSE(answer.entries[0].start.has_value());
    EXPECT_EQ(answer.entries[1].state, "RUNNING");
    EXPECT_EQ(answer.entries[1].start, 1795960591);
    EXPECT_EQ(answer.entries[1].end, 1795964191);
    EXPECT_EQ(answer.entries[1].restarts, 3);
    EXPECT_EQ(answer.entries[1].nodes, "n[1-2]");
    EXPECT_EQ(system.slurm().end_of("1"), 1795964191);
}

TEST(Slurm, APreemptedJobHasNotEnded) {
    for (const char* state :
         {"PREEMPTED", "REQUEUED", "PENDING", "RUNNING", "COMPLETING", "SUSPENDED"}) {
        EXPECT_FALSE(in_state(state).has_ended()) << state;
    }
    for (const char* state : {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}) {
        EXPECT_TRUE(in_state(state).has_ended()) << state;
    }
}

TEST(Slurm, AJobThatIsUnknownIsAnAnswerAndSilenceIsNone) {
    const auto unknown =
        Answering(fails("slurm_load_jobs error: Invalid job id specified")).slurm().queue({"9"});
    EXPECT_TRUE(unknown.answered);
    EXPECT_THAT(unknown.entries, IsEmpty());
    const auto down = Answering(fails("slurm_load_jobs error: Unable to contact slurm controller"))
                          .slurm()
                          .queue({"9"});
    EXPECT_FALSE(down.answered);
    EXPECT_THAT(down.problem, HasSubstr("Unable to contact"));
    const auto hangs = Answering({0, true, "", ""}).slurm().queue({"9"});
    EXPECT_FALSE(hangs.answered);
    EXPECT_THAT(hangs.problem, HasSubstr("does not answer"));
    EXPECT_FALSE(not_installed().queue({"9"}).answered);
    EXPECT_FALSE(not_installed().end_of("9").has_value());
}

TEST(Slurm, ReadsThePartition) {
    const std::string text =
        "main*|4000|2|3|1:00:00\nmain*|8000+|2|1|1:00:00\nlong|9000|64|9|infinite\n";
    const auto main = Answering(says(text)).slurm().limits("");
    ASSERT_TRUE(main.has_value());
    EXPECT_EQ(main->memory_bytes_per_node, std::uint64_t{8000} << 20);
    EXPECT_EQ(main->nodes, 4);
    EXPECT_EQ(main->minutes, 60);
    Answering of_one(says("long|9000|64|9|infinite\n"));
    const auto other = of_one.slurm().limits("long");
    EXPECT_THAT(of_one.asked, ::testing::Contains("--partition=long"));
    EXPECT_EQ(other->processors_per_node, 64);
    EXPECT_FALSE(other->minutes.has_value());
    EXPECT_FALSE(not_installed().limits("").has_value());
}

TEST(Slurm, AbsurdLimitsAreNotAddedUp) {
    const std::string text =
        "main*|99999999999999999999|2|2000000000|1:00\nmain*|18446744073709551615|2|2000000000|1:"
        "00\n";
    const auto limits = Answering(says(text)).slurm().limits("");
    EXPECT_EQ(limits->nodes, 0);
    EXPECT_EQ(limits->memory_bytes_per_node, 0);
}

TEST(Slurm, PmixIsAssumedUnlessSrunSaysOtherwise) {
    EXPECT_TRUE(Answering(says("MPI plugin types are...\n\tpmix\n\tnone\n")).slurm().has_pmix());
    EXPECT_FALSE(Answering(says("MPI plugin types are...\n\tnone\n\tpmi2\n")).slurm().has_pmix());
    EXPECT_TRUE(not_installed().has_pmix());
}

TEST(Slurm, Times) {
    EXPECT_EQ(minutes_in("45"), 45);
    EXPECT_EQ(minutes_in("10:30"), 11);
    EXPECT_EQ(minutes_in("02:03:00"), 123);
    EXPECT_EQ(minutes_in("1-02"), 26 * 60);
    EXPECT_EQ(minutes_in("1-02:03:04"), 26 * 60 + 4);
    for (const char* text : {"", "infinite", "N/A", "1:2:3:4", "-5", "x-1", "1h", "1500000-00",
                             "2000000000:00:00", "2147483647-23:59:59"}) {
        EXPECT_FALSE(minutes_in(text).has_value()) << text;
    }
    EXPECT_EQ(time_text(45), "00:45:00");
    EXPECT_EQ(time_text(26 * 60 + 4), "1-02:04:00");
    for (const int minutes : {1, 59, 60, 1439, 1440, 10000}) {
        EXPECT_EQ(minutes_in(time_text(minutes)), minutes);
    }
}

TEST(Submission, AJobIsLostOnlyAfterFiveMinutesOfAbsence) {
    Submission submission{"9", "", 0, {}};
    const Slurm knows_nothing =
        Slurm([](const auto&) { return fails("Invalid job id specified"); });
    const Slurm is_silent = Slurm([](const auto&) { return fails("Unable to contact"); });
    const Slurm knows_it = Slurm([](const auto&) { return says("9|PENDING|None|N/A|N/A|0||\n"); });
    EXPECT_FALSE(ask_queue(knows_nothing, submission, 1000).is_lost);
    EXPECT_FALSE(ask_queue(knows_nothing, submission, 1299).is_lost);
    // Silence neither loses it nor finds it.
    EXPECT_FALSE(ask_queue(is_silent, submission, 1400).is_lost);
    EXPECT_TRUE(ask_queue(knows_nothing, submission, 1300).is_lost);
    const QueueState found = ask_queue(knows_it, submission, 1400);
    EXPECT_TRUE(found.is_waiting);
    EXPECT_FALSE(found.is_lost);
    EXPECT_FALSE(ask_queue(knows_nothing, submission, 1500).is_lost) << "absent anew";
}

TEST(Submission, IsKeptInAFile) {
    const BatchFolder folder{std::filesystem::path(::testing::TempDir()) / "lathe_submission"};
    std::filesystem::remove_all(folder.root);
    EXPECT_FALSE(read_submission(folder).has_value());
    write_submission(folder, {"17", "18", 1000, 1200});
    const auto stored = read_submission(folder);
    EXPECT_THAT(stored->ids(), ElementsAre("17", "18"));
    EXPECT_EQ(stored->submitted, 1000);
    EXPECT_EQ(stored->absent_since, 1200);
    for (const char* text : {"", "[]", "{}", R"({"job_id": 17})"}) {
        write_file(folder.submission(), text);
        EXPECT_THROW(static_cast<void>(read_submission(folder)), DataError) << text;
    }
    std::filesystem::remove_all(folder.root);
}

}  // namespace
}  // namespace lathe::batch
