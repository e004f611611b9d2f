#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cuda_runtime.h"

/// A device on the host, to test kernels/cuda where there is none. Its folder is compiled as plain
/// C++ with the headers in include/. Each read and write of a kernel comes to note_access(), since
/// the compiler instruments it as it would for its thread sanitizer, whose library is not linked:
/// access.cpp has these functions instead. Threads of a block are fibers (block.cpp); what is put
/// on a stream waits in a queue (runtime.cpp).
///
/// The environment says which of the allowed orders is taken, and what is written down:
///   LATHE_EMULATED_SCHEDULE   forwards (the default), backwards, or a number: random orders of it
///   LATHE_EMULATED_WITHOUT    FILE:LINE of a barrier or a wait for copies that is left out
///   LATHE_EMULATED_COUNTS     a file for the memory requests of each kernel (counts.hpp)
///   LATHE_EMULATED_RESULTS    a file for a hash of all that was copied to the host
namespace emulated {

/// An order of what has none: the threads of a block, the blocks of a grid, how late a copy or an
/// operation of a stream takes effect.
struct Schedule {
    enum class Kind { forwards, backwards, random };
    Kind kind = Kind::forwards;
    unsigned seed = 0;
};
[[nodiscard]] const Schedule& schedule();
/// Forwards: never before it must; backwards: at once; else by chance.
[[nodiscard]] bool takes_effect_at_once();
/// 0 .. n - 1 in the schedule's order, put into order[n].
void put_in_order(std::size_t* order, std::size_t n);

/// Keeps the first message until take_fault(). Of a kernel's thread it does not return: the kernel
/// ends there, as it does on a device.
void fault(const std::string& message);
/// The message kept, which is gone then; empty if there is none.
[[nodiscard]] std::string take_fault();
[[nodiscard]] bool has_fault();

/// Runs all blocks of a launch.
void run_grid(const Launch& launch);

/// The thread that runs, of a block. Threads that meet at a barrier begin a new epoch.
struct Position {
    std::uint32_t block;  ///< counted row after row
    std::uint32_t thread;
    std::uint32_t block_epoch;
    std::uint32_t warp_epoch;
};
extern Position running;
/// Whether a kernel's own code runs, not the emulator's or the host's.
extern bool in_kernel;
/// "thread 5 of block 3", and the name of the kernel.
[[nodiscard]] std::string describe(const Position& position);
[[nodiscard]] const std::string& kernel_name();

inline constexpr unsigned warp_lanes = 32;
inline constexpr unsigned most_threads = 1024;

/// What is not a number in any floating type.
inline constexpr int junk = 0xFF;

}  // namespace emulated
