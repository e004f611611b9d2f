#include "orchestrator/batch/slurm.hpp"

#include "orchestrator/batch/resources.hpp"
#include "orchestrator/batch/submission.hpp"
#include "tests/fuzz/fuzzing.hpp"

// What Slurm's commands print, and submission.json of a run.
LATHE_FUZZ_TARGET(slurm) {
    using namespace lathe;
    const std::string text(input);
    const batch::Slurm slurm([&](const std::vector<std::string>&) {
        return batch::ProcessResult{0, false, text, ""};
    });
    for (const batch::QueueEntry& entry : slurm.queue({"17"}).entries) (void)entry.has_ended();
    (void)slurm.end_of("17");
    (void)slurm.limits("");
    (void)slurm.limits("some");
    (void)slurm.has_pmix();
    try {
        (void)slurm.submit("job.sh", {});
    } catch (const IoError&) {
    }
    if (const auto minutes = batch::minutes_in(text)) {
        fuzz::require(*minutes >= 0, "a time is not negative");
        (void)batch::time_text(*minutes);
    }
    fuzz::refuse_or([&] { (void)batch::memory_in(text); });
    const batch::BatchFolder folder{fuzz::put_directory("slurm", {{"submission.json", input}})};
    fuzz::refuse_or([&] {
        if (auto submission = batch::read_submission(folder)) {
            (void)batch::ask_queue(slurm, *submission, 1'800'000'000);
        }
    });
}
