#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/contract/backend.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/core/parallel.hpp"

namespace lathe {

/// Threads of this rank if nobody says how many: the cores that it may use, shared out over the
/// ranks that may use them too.
[[nodiscard]] std::size_t default_threads(const comm::Communicator& world);

/// The device a rank computes with.
struct Device {
    std::unique_ptr<ThreadPool> pool;
    std::unique_ptr<kernels::Backend> backend;

    /// `threads` = 0: default_threads().
    static Device open(const std::string& backend, std::size_t threads,
                       const comm::Communicator& world);
};

/// What the CPU of this process computes with, BLAS included: "avx512, BLAS SkylakeX". Processes
/// that say the same get the same bits.
[[nodiscard]] std::string instruction_set();

/// The environment variable that tells BLAS its instruction set.
extern const char* const blas_variable;

/// Makes it the one of this name, `runtime.instruction_set`, as far as a running process can: for
/// BLAS it must have been started with blas_variable at the value returned. Empty: as it is.
/// @throws UsageError  if this processor does not have it
std::string use_instruction_set(const std::string& name);

}  // namespace lathe
