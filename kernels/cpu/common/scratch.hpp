#pragma once

#include <cstddef>
#include <memory>

namespace lathe::kernels {

/// `bytes` of zeros on a cache-line boundary; large areas ask the system for large pages.
/// @throws std::bad_alloc
std::shared_ptr<void> allocate_zeroed(std::size_t bytes);

/// Working memory that a thread keeps from call to call, so that a kernel does not fault in fresh
/// pages each time.
class Scratch {
public:
    /// Room for n floats on a cache-line boundary, content unspecified. Valid until the next call.
    float* floats(std::size_t n);

private:
    std::shared_ptr<void> memory_;
    std::size_t size_ = 0;
};

}  // namespace lathe::kernels
