#include "orchestrator/estimate/memory_limit.hpp"

#include "lib/core/granted_memory.hpp"

namespace lathe {

MemoryLimit memory_limit_of(const JobConfig& job, const comm::Communicator& world) {
    if (job.runtime.memory_limit > 0) {
        return {job.runtime.memory_limit, "runtime.memory_limit", true};
    }
    const GrantedMemory granted = granted_memory();
    const int ranks = world.local_size();
    MemoryLimit limit{granted.bytes / static_cast<std::uint64_t>(ranks), granted.source, false};
    if (ranks > 1) {
        limit.source += " / " + std::to_string(ranks) + " ranks";
    }
    return limit;
}

}  // namespace lathe
