#include "orchestrator/rank_log.hpp"

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/log.hpp"
#include "lib/job/run_directory.hpp"

namespace lathe {

JobConfig load_logged_job(const CommandLine& line, int rank) {
    JobConfig job = load_job(line);
    log_to_file(RunDirectory(job.output).log(rank));
    return job;
}

std::string last_words(const CommandLine& line, int rank) {
    constexpr std::size_t n_lines = 50;
    try {
        return last_lines(read_file(RunDirectory(load_job(line).output).log(rank)), n_lines);
    } catch (const Error&) {
        return "";  // a command outside a job, or a rank that had not begun
    }
}

std::string last_lines(const std::string& text, std::size_t n) {
    const bool ends_line = text.ends_with('\n');
    std::size_t begin = text.size() - (ends_line ? 1 : 0);
    for (std::size_t found = 0; found < n; ++found) {
        const auto newline = begin == 0 ? std::string::npos : text.rfind('\n', begin - 1);
        if (newline == std::string::npos) {
            return text;
        }
        begin = newline;
    }
    return text.substr(begin + 1);
}

}  // namespace lathe
