#include "counts.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "emulator.hpp"

namespace emulated::counts {
namespace {

constexpr std::uintptr_t sector_bytes = 32;

struct Sums {
    std::size_t requests = 0;
    std::size_t sectors = 0;
    std::size_t bytes = 0;
};
struct OfKernel {
    Sums reads;
    Sums writes;
    std::size_t blocks = 0;
};

struct Access {
    std::uint32_t warp;
    bool writes;
    const void* code;
    std::uint32_t time;  ///< which of the thread's uses of this code
    std::uintptr_t address;
    std::size_t bytes;

    [[nodiscard]] bool is_of_request(const Access& other) const {
        return warp == other.warp && writes == other.writes && code == other.code &&
               time == other.time;
    }
    bool operator<(const Access& other) const {
        return std::tie(warp, writes, code, time, address) <
               std::tie(other.warp, other.writes, other.code, other.time, other.address);
    }
};

class Counts {
public:
    explicit Counts(const char* file) : file_(file) {}

    void note(bool writes, std::uintptr_t address, std::size_t bytes, const void* code) {
        const std::uint32_t thread = running.thread;
        const std::uint32_t time = times_[{code, thread}]++;
        accesses_.push_back({thread / warp_lanes, writes, code, time, address, bytes});
    }
    void end_block() {
        OfKernel& own = kernels_[kernel_name()];
        ++own.blocks;
        std::sort(accesses_.begin(), accesses_.end());
        std::uintptr_t last_sector = 0;
        for (std::size_t i = 0; i < accesses_.size(); ++i) {
            const Access& access = accesses_[i];
            Sums& sums = access.writes ? own.writes : own.reads;
            if (i == 0 || !access.is_of_request(accesses_[i - 1])) {
                ++sums.requests;
                last_sector = 0;
            }
            sums.bytes += access.bytes;
            const std::uintptr_t end = (access.address + access.bytes - 1) / sector_bytes + 1;
            const std::uintptr_t begin = std::max(access.address / sector_bytes, last_sector);
            sums.sectors += end > begin ? end - begin : 0;
            last_sector = std::max(last_sector, end);
        }
        accesses_.clear();
        times_.clear();
    }
    void write() const {
        std::ofstream out(file_, std::ios::app);
        for (const auto& [name, own] : kernels_) {
            out << own.blocks;
            for (const Sums& sums : {own.reads, own.writes}) {
                out << '\t' << sums.requests << '\t' << sums.sectors << '\t' << sums.bytes;
            }
            out << '\t' << name << '\n';
        }
    }

private:
    struct Hash {
        std::size_t operator()(const std::pair<const void*, std::uint32_t>& key) const {
            return reinterpret_cast<std::uintptr_t>(key.first) * 1031 + key.second;
        }
    };
    std::string file_;
    std::map<std::string, OfKernel> kernels_;
    std::vector<Access> accesses_;
    std::unordered_map<std::pair<const void*, std::uint32_t>, std::uint32_t, Hash> times_;
};

Counts* counts() {
    static Counts* const counts = [] {
        const char* const file = std::getenv("LATHE_EMULATED_COUNTS");
        Counts* const made = file == nullptr ? nullptr : new Counts(file);
        if (made != nullptr) {
            (void)std::atexit([] { emulated::counts::counts()->write(); });
        }
        return made;
    }();
    return counts;
}

}  // namespace

bool enabled() {
    return counts() != nullptr;
}
void note(bool writes, bool is_shared, std::uintptr_t address, std::size_t bytes,
          const void* code) {
    if (!is_shared) {
        counts()->note(writes, address, bytes, code);
    }
}
void end_block() {
    if (enabled()) {
        counts()->end_block();
    }
}

}  // namespace emulated::counts
