#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/forward_kernels.hpp"
#include "kernels/memory.hpp"
#include "kernels/packed_kernels.hpp"
#include "kernels/rounding_kernels.hpp"
#include "kernels/sparsity_kernels.hpp"
#include "kernels/statistics_kernels.hpp"

namespace lathe {
class ThreadPool;
}

namespace lathe::kernels {

enum class BackendKind { reference, cpu, cuda };

/// Everything the numerical code asks of a device, by subject: memory.hpp and the headers
/// *_kernels.hpp.
///
/// `reference` is the definition: plain loops, one thread. Every other backend must agree with it
/// within the tolerance a function states ("exact": bit for bit, given bit-equal inputs).
/// Results do not depend on the number of threads on any backend: work is cut into tiles of fixed
/// size, and a tile is computed by one thread.
///
/// Views and spans lie in memory from allocate() or in any host memory; a backend tells them apart
/// by their addresses. One with a memory of its own copies what lies on the host to itself and, if
/// it is written, back: right everywhere, but slow for large matrices that are used again. What
/// only describes a call (the spans of AttentionShape, an order of columns, a
/// SymmetricEigenproblem) lies on the host.
/// Notation: T tokens, x @ y a matrix product, all matrices row-major.
/// All functions throw ShapeError when extents do not fit together, naming both.
class Backend : public Memory,
                public ForwardKernels,
                public PackedKernels,
                public StatisticsKernels,
                public RoundingKernels,
                public SparsityKernels {
public:
    using ForwardKernels::embed;
    using ForwardKernels::linear;
    using PackedKernels::embed;
    using PackedKernels::linear;

    virtual ~Backend() = default;
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;
};

/// `pool` carries the tiles of the `cpu` backend and must outlive it; the others ignore it.
/// `cuda` is a plug-in, liblathe_cuda.so, that is opened by the first call that asks for it: from
/// the directory in the environment variable LATHE_PLUGIN_DIR, or else from beside the program or
/// ../lib/lathe from there. The CUDA libraries come with it.
/// `device`: which of the machine's devices, modulo their number.
/// @throws UsageError  if this build has no such backend, or the machine has no such device
std::unique_ptr<Backend> make_backend(BackendKind kind, ThreadPool& pool, std::size_t device = 0);

/// The backends of this build that can run on this machine; `reference` is always first.
std::vector<BackendKind> available_backends();

/// "reference", "cpu", "cuda". @throws UsageError  for another name
BackendKind backend_from_name(std::string_view name);

}  // namespace lathe::kernels
