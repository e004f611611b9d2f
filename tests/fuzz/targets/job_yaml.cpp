#include "lib/config/job_config.hpp"
#include "lib/core/utf8.hpp"
#include "tests/fuzz/fuzzing.hpp"

// A job file; the lines behind a line "=== set" are options --set.
LATHE_FUZZ_TARGET(job_yaml) {
    using namespace lathe;
    const fuzz::Parts parts = fuzz::parts_of(input, {"", "set"});
    std::vector<std::string> overrides;
    if (parts.size() > 1) overrides.emplace_back(parts[1].second);
    if (!is_valid_utf8(input)) return;  // refused before it is parsed
    fuzz::refuse_or([&] {
        const JobConfig job = read_job(std::string(parts[0].second), "job.yaml", overrides);
        const std::string yaml = to_yaml(job);
        JobConfig again;
        try {
            again = read_job(yaml, "job.yaml", {});
        } catch (const Error& error) {
            fuzz::require(false, error.what());
        }
        fuzz::require(to_yaml(again) == yaml, "what is written reads back as the same");
        fuzz::require(incompatible_changes(job, again).empty(), "a job may continue itself");
    });
}
