#pragma once

#include "kernels/contract/integers.hpp"

namespace lathe::kernels {

/// The definition: one thread, plain loops, written to be read.
class ReferenceIntegers final : public Integers {
private:
#define LATHE_KERNEL LATHE_BACKEND_KERNEL
#include "kernels/contract/integers.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
