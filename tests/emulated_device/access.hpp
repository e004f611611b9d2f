#pragma once

#include <cstddef>

/// What is watched of a kernel's reads and writes:
///   - they lie in device memory that is allocated, in the block's shared memory, or are the
///     thread's own; never on the host;
///   - what is read was written before, by the block itself if it is shared memory;
///   - addresses are multiples of the size;
///   - no two threads use a byte, one of them writing, without a barrier between. Writes that leave
///     the same bytes are let pass: which of them is last does not show.
namespace emulated::access {

/// Called before the first block of a grid, before each block, and behind the last thread of one.
void begin_grid();
void begin_block(std::size_t dynamic_shared_bytes);
void end_block();
/// The running thread is at a barrier or ends; what it does next is ordered by that.
void leave_thread();

enum class Kind { read, write, atomic };
void note(Kind kind, const void* memory, std::size_t bytes, const void* code);

/// Shared memory that a copy will reach: used before it is there, it is a fault.
void begin_copy(void* shared, std::size_t bytes, const void* code);
void end_copy(void* shared, std::size_t bytes);

}  // namespace emulated::access
