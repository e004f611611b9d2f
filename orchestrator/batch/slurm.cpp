#include "orchestrator/batch/slurm.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <limits>
#include <sstream>

#include "lib/core/errors.hpp"

namespace lathe::batch {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(part);
    }
    return parts;
}

std::string stripped(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t\n");
    return begin == std::string::npos
               ? ""
               : text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

template <typename T>
std::optional<T> number_in(const std::string& text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

/// sinfo writes "128000+" where nodes differ.
template <typename T>
T leading_number(const std::string& text) {
    T value{};
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

std::string joined(const std::vector<std::string>& words, char separator) {
    std::string text;
    for (const std::string& word : words) {
        text += (text.empty() ? "" : std::string(1, separator)) + word;
    }
    return text;
}

constexpr char field_separator = '|';
constexpr std::array queue_fields = {"JobArrayID", "State",      "Reason",  "StartTime",
                                     "EndTime",    "RestartCnt", "NodeList"};

std::string queue_format() {
    std::string format;
    for (const char* field : queue_fields) {
        format += std::string(format.empty() ? "" : ",") + field + ":" + field_separator;
    }
    return format;
}

std::optional<QueueEntry> entry_in(const std::string& line) {
    const std::vector<std::string> fields = split(line, field_separator);
    if (fields.size() < queue_fields.size() - 1) {  // the last one may be empty
        return std::nullopt;
    }
    QueueEntry entry;
    entry.id = stripped(fields[0]);
    entry.state = stripped(fields[1]);
    entry.reason = stripped(fields[2]);
    entry.start = number_in<std::int64_t>(stripped(fields[3]));
    entry.end = number_in<std::int64_t>(stripped(fields[4]));
    entry.restarts = number_in<int>(stripped(fields[5])).value_or(0);
    entry.nodes = fields.size() > 6 ? stripped(fields[6]) : "";
    return entry;
}

/// What squeue says of ids that it does not know (any more).
constexpr const char* unknown_job = "Invalid job id";

}  // namespace

bool QueueEntry::has_ended() const {
    // PREEMPTED and REQUEUED are left out: such a job is still in the queue.
    constexpr std::array ended = {"COMPLETED", "FAILED",        "CANCELLED", "TIMEOUT",
                                  "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"};
    return std::ranges::any_of(ended, [&](const char* word) { return state == word; });
}

std::string Slurm::submit(const std::string& script,
                          const std::vector<std::string>& options) const {
    std::vector<std::string> command{"sbatch", "--parsable"};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(script);
    const ProcessResult result = run_(command);
    // "17", or "17;cluster".
    const std::string id = stripped(result.output.substr(0, result.output.find(';')));
    if (!result.ok() || !number_in<std::int64_t>(id)) {
        throw IoError("sbatch did not take " + script + ": " +
                      (result.timed_out ? "no answer" : stripped(result.errors + result.output)));
    }
    return id;
}

QueueAnswer Slurm::queue(const std::vector<std::string>& ids) const {
    QueueAnswer answer;
    ProcessResult result;
    try {
        result = run_({"squeue", "--noheader", "--states=all", "--jobs=" + joined(ids, ','),
                       "--Format=" + queue_format()});
    } catch (const Error& error) {
        answer.problem = error.what();
        return answer;
    }
    if (!result.ok() && result.errors.find(unknown_job) == std::string::npos) {
        answer.problem = result.timed_out ? "squeue does not answer" : stripped(result.errors);
        return answer;
    }
    answer.answered = true;
    for (const std::string& line : split(result.output, '\n')) {
        if (auto entry = entry_in(line)) {
            answer.entries.push_back(std::move(*entry));
        }
    }
    return answer;
}

bool Slurm::ask_to_stop(const std::string& id) const {
    return run_({"scancel", "--batch", "--signal=USR1", id}).ok();
}

bool Slurm::cancel_waiting(const std::string& id) const {
    return run_({"scancel", "--state=PENDING", id}).ok();
}

bool Slurm::cancel(const std::string& id) const {
    return run_({"scancel", id}).ok();
}

std::optional<std::int64_t> Slurm::end_of(const std::string& id) const {
    const QueueAnswer answer = queue({id});
    for (const QueueEntry& entry : answer.entries) {
        if (entry.state == "RUNNING") {
            return entry.end;
        }
    }
    return std::nullopt;
}

std::optional<PartitionLimits> Slurm::limits(const std::string& partition) const {
    std::vector<std::string> command{"sinfo", "--noheader", "--format=%P|%m|%c|%D|%l"};
    if (!partition.empty()) {
        command.push_back("--partition=" + partition);
    }
    ProcessResult result;
    try {
        result = run_(command);
    } catch (const Error&) {
        return std::nullopt;
    }
    std::optional<PartitionLimits> limits;
    for (const std::string& line : split(result.output, '\n')) {
        const std::vector<std::string> fields = split(line, field_separator);
        // A star marks the default partition. Nodes in different states come in lines of their own.
        if (fields.size() != 5 || (partition.empty() && !fields[0].ends_with('*'))) {
            continue;
        }
        if (!limits) {
            limits.emplace();
        }
        constexpr std::uint64_t unit_bytes = 1 << 20;
        const std::uint64_t memory = leading_number<std::uint32_t>(fields[1]);  // up to 4 PiB
        limits->memory_bytes_per_node =
            std::max(limits->memory_bytes_per_node, unit_bytes * memory);
        limits->processors_per_node =
            std::max(limits->processors_per_node, leading_number<int>(fields[2]));
        limits->nodes += leading_number<std::uint16_t>(fields[3]);  // Slurm has at most 65533
        limits->minutes = minutes_in(fields[4]);
    }
    return limits;
}

bool Slurm::has_pmix() const {
    try {
        const ProcessResult result = run_({"srun", "--mpi=list"});
        return !result.ok() || (result.output + result.errors).find("pmix") != std::string::npos;
    } catch (const Error&) {
        return true;
    }
}

std::optional<int> minutes_in(const std::string& text) {
    const auto dash = text.find('-');
    const bool has_days = dash != std::string::npos;
    std::vector<int> numbers;
    for (const std::string& part : split(has_days ? text.substr(dash + 1) : text, ':')) {
        const auto number = number_in<int>(part);
        if (!number || *number < 0) {
            return std::nullopt;
        }
        numbers.push_back(*number);
    }
    const auto days = has_days ? number_in<int>(text.substr(0, dash)) : 0;
    if (!days || *days < 0 || numbers.empty() || numbers.size() > 3) {
        return std::nullopt;
    }
    // With days they are hours[:minutes[:seconds]], else minutes, minutes:seconds or all three.
    if (has_days || numbers.size() == 3) {
        numbers.resize(3);
    } else {
        numbers.insert(numbers.begin(), 0);
        numbers.resize(3);
    }
    const std::int64_t minutes = std::int64_t{*days} * 24 * 60 + std::int64_t{numbers[0]} * 60 +
                                 numbers[1] + (numbers[2] > 0 ? 1 : 0);
    // More than 4000 years is no limit.
    if (minutes > std::numeric_limits<int>::max()) return std::nullopt;
    return static_cast<int>(minutes);
}

std::string time_text(int minutes) {
    std::array<char, 32> text{};
    const int hours = minutes / 60;
    if (hours >= 24) {
        std::snprintf(text.data(), text.size(), "%d-%02d:%02d:00", hours / 24, hours % 24,
                      minutes % 60);
    } else {
        std::snprintf(text.data(), text.size(), "%02d:%02d:00", hours, minutes % 60);
    }
    return text.data();
}

}  // namespace lathe::batch
