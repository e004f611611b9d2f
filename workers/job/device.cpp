#include "workers/job/device.hpp"

#include <algorithm>

#include "kernels/backends.hpp"

namespace lathe {

std::size_t default_threads(const comm::Communicator& world) {
    const comm::RankPlace& place = world.places()[static_cast<std::size_t>(world.rank())];
    return std::max<std::size_t>(1, static_cast<std::size_t>(place.processors / place.sharing));
}

Device Device::open(const std::string& backend, std::size_t threads,
                    const comm::Communicator& world) {
    if (threads == 0) {
        threads = default_threads(world);
    }
    Device device;
    device.pool = std::make_unique<ThreadPool>(threads);
    device.backend = kernels::make_backend(kernels::backend_from_name(backend), *device.pool,
                                           static_cast<std::size_t>(world.local_rank()));
    return device;
}

}  // namespace lathe
