#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace lathe {

/// Memory that the processes of a job may use together on this node, and who says so.
struct GrantedMemory {
    std::uint64_t bytes = 0;
    std::string source;  ///< "SLURM_MEM_PER_NODE", "/sys/fs/cgroup/memory.max", "/proc/meminfo"
};

/// The least of what Slurm granted (SLURM_MEM_PER_NODE, SLURM_MEM_PER_CPU), what the process's
/// control group and those above it allow (memory.max, or memory.limit_in_bytes of version 1), and
/// what the machine has. Files are looked for below `root`; what is not there or not understood
/// counts for nothing. bytes 0: nobody says.
[[nodiscard]] GrantedMemory granted_memory(const std::filesystem::path& root = "/");

}  // namespace lathe
