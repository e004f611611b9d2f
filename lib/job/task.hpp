#pragma once

#include <cstdint>
#include <string>

namespace lathe {

/// Work for one rank: small, plain, sent by message. What it reads and writes lies in files.
struct Task {
    std::string stage;      ///< "calibrate", "compress", ...
    std::string id;         ///< unique in the job, stable over restarts: "compress/block_0003.qkv"
    std::string arguments;  ///< what the stage needs to know, in its own form (JSON)
    double cost = 1.0;      ///< estimated work, any unit; the queue goes longest first
    int rank = -1;          ///< the only rank that may run it, or -1
};

/// What became of a task.
struct TaskResult {
    std::string id;
    bool ok = false;
    int exit_code = 0;  ///< of the error, if not ok
    std::string text;   ///< the stage's answer (JSON), or the error's message
    double seconds = 0.0;
    int rank = 0;
};

}  // namespace lathe
