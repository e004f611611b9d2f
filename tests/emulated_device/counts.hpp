#pragma once

#include <cstddef>
#include <cstdint>

/// Counts of memory requests for each kernel, where LATHE_EMULATED_COUNTS names a file. A request
/// is what the lanes of a warp ask for by one instruction. A device reads and writes global memory
/// in sectors of 32 bytes: those that a request touches are its transactions. A line of the file is
/// a kernel: blocks; requests, sectors and bytes that were read, of global memory; the same of what
/// was written; the name.
namespace emulated::counts {

[[nodiscard]] bool enabled();
void note(bool writes, bool is_shared, std::uintptr_t address, std::size_t bytes, const void* code);
void end_block();

}  // namespace emulated::counts
