#pragma once

#include "kernels/contract/backend.hpp"

namespace lathe::kernels {

/// The definition: one thread, plain loops, sums in fp64, written to be read.
class ReferenceBackend final : public Backend {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "reference"; }
    [[nodiscard]] bool works_on_host() const noexcept override { return true; }
    [[nodiscard]] std::unique_ptr<const Integers> integers() const override;

private:
#define LATHE_KERNEL LATHE_BACKEND_KERNEL
#include "kernels/contract/all_kernels.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
