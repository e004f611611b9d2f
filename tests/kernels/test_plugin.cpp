// Stands for a CUDA plug-in, of this build or of another: LATHE_TEST_INTERFACE.
#include <cstdio>

#include "kernels/cuda_interface.hpp"
#include "kernels/cuda_plugin.hpp"

extern "C" const char* lathe_cuda_interface() {
    return LATHE_TEST_INTERFACE;
}

extern "C" lathe::kernels::Backend* lathe_cuda_open(std::size_t device, char* reason,
                                                    std::size_t reason_size) {
    std::snprintf(reason, reason_size, "there is no device %zu", device);
    return nullptr;
}
