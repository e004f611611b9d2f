#include "workers/job/device.hpp"

#include <algorithm>

#include "kernels/backends.hpp"

namespace lathe {

Device Device::open(const std::string& backend, std::size_t threads,
                    const comm::Communicator& world) {
    if (threads == 0) {
        threads = std::max<std::size_t>(
            1, available_processors() / static_cast<std::size_t>(world.local_size()));
    }
    Device device;
    device.pool = std::make_unique<ThreadPool>(threads);
    device.backend = kernels::make_backend(kernels::backend_from_name(backend), *device.pool,
                                           static_cast<std::size_t>(world.local_rank()));
    return device;
}

}  // namespace lathe
