#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/file.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/running_task.hpp"

namespace lathe {

/// Tasks that a stage listed together, or, without tasks, what rank 0 did by itself.
struct ScheduledCall {
    std::string stage;
    double began = 0.0;  ///< seconds since the run's start
    double ended = 0.0;
    std::size_t reused = 0;   ///< tasks that were done before
    std::vector<Task> tasks;  ///< id, cost and rank; finished before or not
};

/// What a start of a run did, in order.
struct RunSchedule {
    int n_ranks = 0;
    std::size_t batches = 1;  ///< of the calibration samples
    std::size_t parts = 1;    ///< that they are divided into for tasks of all ranks
    std::vector<ScheduledCall> calls;
    // For reports; 0 and empty where a version did not say it:
    double started = 0.0;  ///< seconds since 1970
    std::string where;     ///< ranks_text(): hosts, processors, threads
};

/// Writes schedule.jsonl: a line for each start, each call and each task that came to no end. With
/// the journal's times it is what a simulation or a picture of the run needs; the run itself never
/// reads it.
class ScheduleRecorder {
public:
    /// Keeps time and writes nothing.
    ScheduleRecorder() = default;
    /// Appends. @throws IoError
    ScheduleRecorder(const std::filesystem::path& file, const RunSchedule& start);
    [[nodiscard]] double seconds() const;  ///< since the object was made
    void record(const ScheduledCall& call);
    void record(const UnfinishedTask& task);

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    std::optional<AppendFile> file_;
};

/// Ranks of the first start; none if the file does not say it.
[[nodiscard]] std::optional<int> first_ranks_in(const std::filesystem::path& file);

/// The last start of the file. @throws MissingInputError; DataError, naming the line
[[nodiscard]] RunSchedule read_schedule(const std::filesystem::path& file);

}  // namespace lathe
