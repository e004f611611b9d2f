#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/contract/backend.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/core/parallel.hpp"

namespace lathe {

/// The device a rank computes with.
struct Device {
    std::unique_ptr<ThreadPool> pool;
    std::unique_ptr<kernels::Backend> backend;

    /// `threads` = 0: this node's processors shared out over its ranks.
    static Device open(const std::string& backend, std::size_t threads,
                       const comm::Communicator& world);
};

}  // namespace lathe
