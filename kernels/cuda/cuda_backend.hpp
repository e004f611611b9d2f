#pragma once

#include "kernels/contract/backend.hpp"
#include "kernels/cuda/context.hpp"

namespace lathe::kernels {

/// An NVIDIA device. Everything is put on one stream and comes back to the host only where a
/// function returns something there; kernels for exact results are compiled without contraction of
/// products and sums, and take sums in fp64 where the reference's order shows in decisions.
///
/// The overrides are public because device lambdas cannot be written in private functions.
class CudaBackend final : public Backend {
public:
    explicit CudaBackend(std::size_t device) : context_(std::make_shared<cuda::Context>(device)) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "cuda"; }
    [[nodiscard]] bool works_on_host() const noexcept override { return false; }
    [[nodiscard]] bool multiplies_nm() const noexcept override { return false; }

#define LATHE_KERNEL LATHE_BACKEND_KERNEL
#include "kernels/contract/all_kernels.def"
#undef LATHE_KERNEL

private:
    /// Shared with the memory that it hands out, which may be freed after it.
    std::shared_ptr<const cuda::Context> context_;
};

}  // namespace lathe::kernels
