#include "kernels/backends.hpp"

#include <string>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/forward/cpu_gradients.hpp"
#include "kernels/cuda_plugin.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/reference/reference_gradients.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels {

std::unique_ptr<Backend> make_backend(BackendKind kind, ThreadPool& pool, std::size_t device) {
    switch (kind) {
        case BackendKind::reference:
            return std::make_unique<ReferenceBackend>();
        case BackendKind::cpu:
            return std::make_unique<CpuBackend>(pool);
        case BackendKind::cuda:
            if (!is_cuda_compiled()) {
                throw UsageError("the CUDA backend is not compiled into this build");
            }
            return open_cuda_backend(device);
    }
    throw InternalError("no backend has the number " + std::to_string(static_cast<int>(kind)));
}

std::unique_ptr<const Gradients> make_gradients(BackendKind kind, ThreadPool& pool) {
    switch (kind) {
        case BackendKind::reference:
            return std::make_unique<ReferenceGradients>();
        case BackendKind::cpu:
            return std::make_unique<CpuGradients>(pool);
        case BackendKind::cuda:
            throw UsageError("cuda has no backward pass; it runs on cpu");
    }
    throw InternalError("no backend has the number " + std::to_string(static_cast<int>(kind)));
}

namespace {

/// Device files alone do not make a device; an error tells whoever asks for it by name what is
/// missing.
bool has_cuda_device() {
    if (!is_cuda_compiled() || !may_have_cuda_device()) {
        return false;
    }
    try {
        (void)open_cuda_backend(0);
        return true;
    } catch (const UsageError&) {
        return false;
    }
}

}  // namespace

std::vector<BackendKind> available_backends() {
    static const bool has_cuda = has_cuda_device();
    std::vector<BackendKind> kinds{BackendKind::reference, BackendKind::cpu};
    if (has_cuda) {
        kinds.push_back(BackendKind::cuda);
    }
    return kinds;
}

BackendKind backend_from_name(std::string_view name) {
    if (name == "reference") {
        return BackendKind::reference;
    }
    if (name == "cpu") {
        return BackendKind::cpu;
    }
    if (name == "cuda") {
        return BackendKind::cuda;
    }
    throw UsageError("unknown backend \"" + std::string(name) +
                     "\"; backends are reference, cpu, cuda");
}

}  // namespace lathe::kernels
