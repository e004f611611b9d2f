#pragma once

#include <cstdint>

namespace emulated {

/// Whether an address is on the stack of a thread of the block.
[[nodiscard]] bool is_own(std::uintptr_t address);

/// Ends the kernel if one of its threads runs; does not return then.
void end_kernel();

}  // namespace emulated
