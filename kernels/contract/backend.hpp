#pragma once

#include <string_view>

#include "kernels/contract/forward_kernels.hpp"
#include "kernels/contract/integers.hpp"
#include "kernels/contract/memory.hpp"
#include "kernels/contract/packed_kernels.hpp"
#include "kernels/contract/rounding_kernels.hpp"
#include "kernels/contract/sparsity_kernels.hpp"
#include "kernels/contract/statistics_kernels.hpp"

namespace lathe::kernels {

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
    /// The operators on blocks of whole numbers of this device, with its threads; the backend must
    /// outlive them. @throws UsageError  if it has none
    [[nodiscard]] virtual std::unique_ptr<const Integers> integers() const;
};

}  // namespace lathe::kernels
