#include "lib/core/granted_memory.hpp"

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string_view>

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
/// Above it a number stands for "no limit".
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 50;

std::optional<std::uint64_t> number_in(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number == 0 ||
        number > most_bytes) {
        return std::nullopt;
    }
    return number;
}

std::optional<std::uint64_t> variable(const char* name) {
    const char* const text = std::getenv(name);
    return text == nullptr ? std::nullopt : number_in(text);
}

class Least {
public:
    void add(std::optional<std::uint64_t> bytes, const std::string& source) {
        if (bytes && (found_.bytes == 0 || *bytes < found_.bytes)) {
            found_ = {*bytes, source};
        }
    }
    [[nodiscard]] const GrantedMemory& found() const { return found_; }

private:
    GrantedMemory found_;
};

void add_slurm(Least& least) {
    if (const auto per_node = variable("SLURM_MEM_PER_NODE")) {
        least.add(*per_node * mebibyte, "SLURM_MEM_PER_NODE");
    }
    const auto per_processor = variable("SLURM_MEM_PER_CPU");
    const auto processors = variable("SLURM_CPUS_ON_NODE");
    if (per_processor && processors && *processors < 1 << 20) {
        least.add(*per_processor * *processors * mebibyte, "SLURM_MEM_PER_CPU");
    }
}

/// `folder` of the group and those above it, up to `top`.
void add_group(Least& least, const fs::path& top, const std::string& folder, const char* file,
               const fs::path& root) {
    fs::path path = top / fs::path(folder).relative_path();
    while (true) {
        std::string word;
        if (std::ifstream(path / file) >> word) {
            least.add(number_in(word), "/" + (path / file).lexically_relative(root).string());
        }
        if (path == top || !path.has_relative_path()) {
            return;
        }
        path = path.parent_path();
    }
}

/// Lines of /proc/self/cgroup: "0::/path" of version 2, "5:cpu,memory:/path" of version 1. Within a
/// container the path may begin above what is mounted; then the files at the top are its own.
void add_groups(Least& least, const fs::path& root) {
    std::ifstream groups(root / "proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
        const std::string folder = line.substr(second + 1);
        if (controllers == ",,") {
            add_group(least, root / "sys/fs/cgroup", folder, "memory.max", root);
        } else if (controllers.find(",memory,") != std::string::npos) {
            add_group(least, root / "sys/fs/cgroup/memory", folder, "memory.limit_in_bytes", root);
        }
    }
}

void add_machine(Least& least, const fs::path& root) {
    std::ifstream file(root / "proc/meminfo");
    std::string name;
    std::uint64_t kibibytes = 0;
    if (file >> name >> kibibytes && name == "MemTotal:") {
        least.add(1024 * kibibytes, "/proc/meminfo");
    }
}

}  // namespace

GrantedMemory granted_memory(const fs::path& root) {
    Least least;
    add_slurm(least);
    add_groups(least, root);
    add_machine(least, root);
    return least.found();
}

}  // namespace lathe
