#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// Task::rank of a task that any rank may run, and of one that all ranks run at once.
inline constexpr int any_rank = -1;
inline constexpr int all_ranks = -2;

/// Work for one rank, or for all of them together: small, plain, sent by message. What it reads and
/// writes lies in files.
struct Task {
    std::string stage;      ///< "calibrate", "compress", ...
    std::string id;         ///< unique in the job, stable over restarts: "compress/block_0003.qkv"
    std::string arguments;  ///< what the stage needs to know, in its own form (JSON)
    double cost = 1.0;      ///< estimated work, any unit; the queue goes longest first
    int rank = any_rank;    ///< the only rank that may run it, any_rank or all_ranks
    /// Ids of tasks that it begins after, if they are in the same list; then any rank may run it.
    /// For the queue: it is not sent along.
    std::vector<std::string> after = {};

    bool operator==(const Task&) const = default;
};

/// What became of a task.
struct TaskResult {
    std::string id;
    bool ok = false;
    int exit_code = 0;  ///< of the error, if not ok
    std::string text;   ///< the stage's answer (JSON), or the error's message
    double seconds = 0.0;
    int rank = 0;

    bool operator==(const TaskResult&) const = default;
};

/// One line of JSON with every field but Task::after, for messages between ranks and for the
/// journal. Bytes of TaskResult::text that are no UTF-8 (a message may quote a file) become U+FFFD.
/// @throws InternalError  if any other text is no UTF-8, or a number is not finite
[[nodiscard]] std::string to_json(const Task& task);
[[nodiscard]] std::string to_json(const TaskResult& result);

/// Inverses of to_json(). @throws InternalError  for anything to_json() does not write
[[nodiscard]] Task task_from_json(std::string_view text);
[[nodiscard]] TaskResult task_result_from_json(std::string_view text);

}  // namespace lathe
