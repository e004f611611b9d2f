#include "kernels/cpu/common/scratch.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include <sys/mman.h>

namespace lathe::kernels {
namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t large_page = std::size_t{2} << 20;

}  // namespace

std::shared_ptr<void> allocate_zeroed(std::size_t bytes) {
    const bool large = bytes >= 2 * large_page;
    const std::size_t alignment = large ? large_page : cache_line;
    const std::size_t rounded =
        (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    void* memory = nullptr;
    if (large) {
        // Fresh mapped pages read as zero and take their place near the thread that first writes.
        memory =
            ::mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            throw std::bad_alloc();
        }
        ::madvise(memory, rounded, MADV_HUGEPAGE);  // a wish: without it all is the same, slower
        return {memory, [rounded](void* p) { ::munmap(p, rounded); }};
    }
    memory = std::aligned_alloc(alignment, rounded);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    std::memset(memory, 0, rounded);
    return {memory, std::free};
}

float* Scratch::floats(std::size_t n) {
    if (n > size_) {
        memory_.reset();  // never hold both
        size_ = 0;
        memory_ = allocate_zeroed(n * sizeof(float));
        size_ = n;
    }
    return static_cast<float*>(memory_.get());
}

}  // namespace lathe::kernels
