#pragma once

#include <cstddef>
#include <cstdint>

namespace emulated {

/// Where the stacks of a block's threads are.
struct StackRange {
    std::uintptr_t begin;
    std::size_t size;
};
[[nodiscard]] StackRange stack_range();

/// Ends the kernel if one of its threads runs; does not return then.
void end_kernel();

}  // namespace emulated
