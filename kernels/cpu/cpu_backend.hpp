#pragma once

#include "kernels/contract/backend.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {

/// Host memory, vectorised loops, and OpenBLAS held to one thread a call: parallel work is cut into
/// tiles of fixed size that the pool's threads share, so threads do not show in the results.
class CpuBackend final : public Backend {
public:
    explicit CpuBackend(ThreadPool& pool);
    [[nodiscard]] std::string_view name() const noexcept override { return "cpu"; }
    [[nodiscard]] bool works_on_host() const noexcept override { return true; }
    [[nodiscard]] std::unique_ptr<const Integers> integers() const override;

private:
#define LATHE_KERNEL LATHE_BACKEND_KERNEL
#include "kernels/contract/all_kernels.def"
#undef LATHE_KERNEL

    ThreadPool& pool_;
};

}  // namespace lathe::kernels
