#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "orchestrator/coordinator.hpp"
#include "orchestrator/job_estimate.hpp"

namespace lathe {

/// Reports the progress of a job: on standard error by a line for each finished task and, while
/// none is finished, one in 30 s, or by a live bar on a terminal, for the stage and, where there is
/// a plan, one for the job below it; and in status.json of the run
/// directory, for `lathe status`. All that is a courtesy: where it cannot be written (closed, full,
/// a terminal that hung up), the job continues.
class Progress {
public:
    enum class Style { silent, lines, bar };
    /// Bar on a terminal, lines elsewhere.
    static Style default_style();

    /// `longest_silence`: without a line, where there is no bar.
    Progress(Style style, int n_ranks,
             std::chrono::seconds longest_silence = std::chrono::seconds(30))
        : style_(style), n_ranks_(n_ranks), longest_silence_(longest_silence) {}
    ~Progress() { finish_line(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// From now on status.json is kept up to date, at most once a second.
    void set_status_file(std::filesystem::path file) { status_file_ = std::move(file); }
    /// The stages of the job as planned: from now on there is an estimate for all of it.
    void set_plan(std::vector<JobEstimate::Stage> stages) { job_ = JobEstimate(std::move(stages)); }
    /// To be called once a second at least.
    void update(const StageProgress& progress) noexcept;
    /// The last word: "done", "stopped" or "failed".
    void finish(const std::string& status) noexcept;

private:
    void show(const StageProgress& progress);
    void print(const StageProgress& progress);
    void print_bars(const StageProgress& progress);
    void write_status(const std::string& status) noexcept;
    void finish_line() noexcept;

    Style style_;
    int n_ranks_;
    std::chrono::seconds longest_silence_;
    bool line_open_ = false;
    std::filesystem::path status_file_;
    std::chrono::steady_clock::time_point last_written_;
    std::chrono::steady_clock::time_point last_line_ = std::chrono::steady_clock::now();
    std::string stage_;
    std::size_t done_ = 0;
    std::size_t total_ = 0;
    double eta_seconds_ = 0.0;
    std::vector<RunningTask> running_;
    std::vector<int> lost_;
    JobEstimate job_;
};

/// "compress/block_0003.gate 42 % on rank 1 for 3 min 05 s and 2 more"; "" for no task.
[[nodiscard]] std::string running_text(const std::vector<RunningTask>& running);

/// "3.2 s", "12 min 05 s", "3 h 07 min".
[[nodiscard]] std::string duration_text(double seconds);
/// "2.74 MB", "35.1 GB": powers of 1000.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);

}  // namespace lathe
