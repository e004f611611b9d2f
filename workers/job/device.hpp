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

}  // namespace lathe
