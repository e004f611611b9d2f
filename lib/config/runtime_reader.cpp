#include "lib/config/runtime_reader.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "lib/config/budget_reader.hpp"
#include "lib/config/job_keys.hpp"

namespace lathe {
namespace {

constexpr double max_seconds = 1e9;

/// "HH:MM:SS" or "MM:SS"; the first part may be larger than a clock's.
std::optional<double> parse_clock(std::string_view text) {
    double seconds = 0.0;
    std::size_t n_parts = 0;
    for (std::size_t begin = 0; begin <= text.size(); ++n_parts) {
        const std::size_t end = std::min(text.find(':', begin), text.size());
        const std::string_view digits = text.substr(begin, end - begin);
        unsigned part = 0;
        const auto [rest, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), part);
        if (digits.empty() || error != std::errc{} || rest != digits.data() + digits.size() ||
            (n_parts > 0 && (part >= 60 || digits.size() != 2))) {
            return std::nullopt;
        }
        seconds = 60.0 * seconds + part;
        begin = end + 1;
    }
    return n_parts == 2 || n_parts == 3 ? std::optional(seconds) : std::nullopt;
}

void read_walltime(const YamlValue* value, double& out) {
    if (value == nullptr) {
        return;
    }
    const bool is_clock =
        value->kind == YamlValue::Kind::text && value->text.find(':') != std::string::npos;
    const std::optional<double> seconds =
        is_clock ? parse_clock(value->text) : number_of(*value, "runtime.max_walltime");
    if (!seconds || !(*seconds >= 0.0) || !(*seconds <= max_seconds)) {
        refuse_at(value->place, "runtime.max_walltime is " + describe(*value) +
                                    "; expected seconds from 0 (none) to 1e9, HH:MM:SS or MM:SS");
    }
    out = *seconds;
}

/// "auto" or a size.
std::uint64_t read_memory_limit(const YamlValue* value) {
    const bool is_auto = value == nullptr || text_of(*value, "runtime.memory_limit") == "auto";
    return is_auto ? 0 : read_size(*value, "runtime.memory_limit");
}

}  // namespace

RuntimeConfig read_runtime(const YamlValue* value) {
    constexpr std::uint64_t max_threads = 4096;
    RuntimeConfig runtime;
    MapReader map(value, "runtime");
    if (const YamlValue* backend = map.find("backend")) {
        runtime.backend = text_of(*backend, "runtime.backend");
        if (runtime.backend != "reference" && runtime.backend != "cpu" &&
            runtime.backend != "cuda") {
            refuse_at(backend->place, "runtime.backend is " + describe(*backend) +
                                          "; expected reference, cpu or cuda");
        }
    }
    std::size_t set = 0;
    map.read_choice("instruction_set", set, instruction_set_names);
    runtime.instruction_set = instruction_set_names[set];
    map.read_whole("threads", runtime.threads, 0, max_threads);
    runtime.memory_limit = read_memory_limit(map.find("memory_limit"));
    read_walltime(map.find("max_walltime"), runtime.max_walltime);
    map.read_positive("worker_timeout", runtime.worker_timeout, max_seconds);
    map.finish();
    return runtime;
}

}  // namespace lathe
