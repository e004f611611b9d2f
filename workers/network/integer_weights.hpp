#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>

#include "kernels/contract/integers.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {

/// The weights of one block (or of what stands outside the blocks) as blocks of whole numbers:
/// linear layers packed for products, tables, norms and biases as they are. What is stored as
/// "block_shift" with shifts is taken over; everything else is rounded to 8 bits in blocks of 64. A
/// fused tensor is there as its parts.
class IntegerWeights {
public:
    /// Loads what LoadedWeights::load() would.
    /// @throws DataError   naming a tensor that is not finite
    /// @throws UsageError  for a weight that is too wide
    static IntegerWeights load(const ModelSpec& spec, const WeightSource& source,
                               const kernels::Backend& backend, const kernels::Integers& integers,
                               std::optional<std::size_t> block, std::span<const Role> roles = {});

    [[nodiscard]] bool has(Role role) const;
    /// @throws InternalError  if it was not loaded
    [[nodiscard]] const kernels::IntegerWeight& weight(Role role) const;
    /// Of embeddings. @throws InternalError
    [[nodiscard]] const kernels::BlockedMatrix& table(Role role) const;
    /// A norm's weight or a bias, one row; null if the model has none.
    [[nodiscard]] const kernels::BlockedMatrix* vector(Role role, bool is_bias) const;

private:
    void add(const ModelSpec& spec, const TensorSpec& tensor, kernels::BlockedMatrix blocks,
             const kernels::Integers& integers);
    void add_part(const ModelSpec& spec, Role role, bool is_bias, kernels::BlockedMatrix blocks,
                  const kernels::Integers& integers);

    std::map<Role, std::unique_ptr<const kernels::IntegerWeight>> packed_;
    std::map<std::pair<Role, bool>, kernels::BlockedMatrix> tables_;
};

}  // namespace lathe
