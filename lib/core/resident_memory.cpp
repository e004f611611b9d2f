#include "lib/core/resident_memory.hpp"

#include <cstdio>

#include <unistd.h>

namespace lathe {

std::uint64_t resident_memory() noexcept {
    // Pages: size of the process, then what is resident (proc(5)).
    std::FILE* const file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) {
        return 0;
    }
    unsigned long long size = 0;
    unsigned long long resident = 0;
    const int n_read = std::fscanf(file, "%llu %llu", &size, &resident);
    std::fclose(file);
    const long page = ::sysconf(_SC_PAGESIZE);
    return n_read == 2 && page > 0 ? resident * static_cast<std::uint64_t>(page) : 0;
}

}  // namespace lathe
