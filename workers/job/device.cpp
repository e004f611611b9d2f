#include "workers/job/device.hpp"

#include <algorithm>

#include "kernels/backends.hpp"
#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"

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

const char* const blas_variable = kernels::blas::core_variable;

std::string instruction_set() {
    const bool is_first_of_all = kernels::runnable_vector_kernels().size() == 1;
    // Loops that the compiler translates for several instruction sets see what the processor has.
    return std::string(kernels::vector_kernels().name) + (is_first_of_all ? " alone" : "") +
           ", BLAS " + kernels::blas::core_name();
}

std::string use_instruction_set(const std::string& name) {
    kernels::use_vector_kernels(name);
    const std::string core(kernels::blas::core_for(name));
    return core == kernels::blas::core_name() ? "" : core;
}

}  // namespace lathe
