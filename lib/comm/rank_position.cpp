#include "lib/comm/rank_position.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

#include "lib/core/host_name.hpp"

namespace lathe::comm {
namespace fs = std::filesystem;

namespace {

constexpr const char* system_folder = "/sys/devices/system";

bool is_overlapping(const cpu_set_t& a, const cpu_set_t& b) {
    cpu_set_t both;
    CPU_AND(&both, &a, &b);
    return CPU_COUNT(&both) > 0;
}

std::string first_line(const fs::path& file) {
    std::string line;
    std::ifstream stream(file);
    std::getline(stream, line);
    return line;
}

}  // namespace

cpu_set_t processors_in(const std::string& list) {
    cpu_set_t processors;
    CPU_ZERO(&processors);
    std::istringstream ranges(list);
    for (std::string range; std::getline(ranges, range, ',');) {
        const char* const end = range.data() + range.size();
        std::size_t first = 0;
        const auto [rest, error] = std::from_chars(range.data(), end, first);
        std::size_t last = first;
        if (error != std::errc() ||
            (rest != end &&
             (*rest != '-' || std::from_chars(rest + 1, end, last).ec != std::errc()))) {
            continue;
        }
        for (std::size_t p = first; p <= last && p < CPU_SETSIZE; ++p) {
            CPU_SET(p, &processors);
        }
    }
    return processors;
}

int count_cores(const cpu_set_t& processors, const fs::path& system) {
    int n_cores = 0;
    cpu_set_t counted;  // with all that share a core with them
    CPU_ZERO(&counted);
    for (std::size_t p = 0; p < CPU_SETSIZE; ++p) {
        if (!CPU_ISSET(p, &processors) || CPU_ISSET(p, &counted)) {
            continue;
        }
        ++n_cores;
        const cpu_set_t siblings = processors_in(first_line(
            system / "cpu" / ("cpu" + std::to_string(p)) / "topology/thread_siblings_list"));
        CPU_OR(&counted, &counted, &siblings);
    }
    return n_cores;
}

int count_memory_nodes(const cpu_set_t& processors, const fs::path& system) {
    int n_nodes = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(system / "node", error)) {
        const cpu_set_t near = processors_in(first_line(entry.path() / "cpulist"));
        n_nodes += is_overlapping(near, processors) ? 1 : 0;
    }
    return std::max(1, n_nodes);
}

RankPosition own_position() {
    RankPosition position;
    const std::string host = host_name();
    std::copy_n(host.data(), std::min(host.size(), position.host.size() - 1), position.host.data());
    // Fails on more processors than the mask can hold: then none are told, and none shared.
    CPU_ZERO(&position.processors);
    ::sched_getaffinity(0, sizeof position.processors, &position.processors);
    position.cores = count_cores(position.processors, system_folder);
    position.memory_nodes = count_memory_nodes(position.processors, system_folder);
    return position;
}

std::vector<RankPlace> shared_places(const std::vector<RankPosition>& positions) {
    std::vector<RankPlace> places;
    for (const RankPosition& position : positions) {
        const auto sharing = std::ranges::count_if(positions, [&](const RankPosition& other) {
            return position.host == other.host &&
                   is_overlapping(position.processors, other.processors);
        });
        places.push_back({position.host.data(), position.cores,
                          std::max(1, static_cast<int>(sharing)), position.memory_nodes});
    }
    return places;
}

}  // namespace lathe::comm
