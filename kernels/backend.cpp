#include "kernels/backend.hpp"

#include <string>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels {

std::unique_ptr<Backend> make_backend(BackendKind kind, ThreadPool& pool) {
    switch (kind) {
        case BackendKind::reference:
            return std::make_unique<ReferenceBackend>();
        case BackendKind::cpu:
            return std::make_unique<CpuBackend>(pool);
        case BackendKind::cuda:
            throw UsageError("the CUDA backend is not compiled into this build");
    }
    throw InternalError("no backend has the number " + std::to_string(static_cast<int>(kind)));
}

std::vector<BackendKind> available_backends() {
    return {BackendKind::reference, BackendKind::cpu};
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
