#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/model/loaded_weight.hpp"

namespace lathe {

struct SourceModel;

/// Where a model's weights come from, tensor by tensor.
class WeightSource {
public:
    virtual ~WeightSource() = default;
    /// Writes the values of tensor `index` of the model to backend memory, seen as a matrix
    /// [product of all extents but the last, last]. May be called from several threads.
    /// @throws DataError  naming the tensor
    virtual void load(std::size_t index, const kernels::Backend& backend,
                      MatrixView<float> values) const = 0;
    /// The tensor as it is stored, if products are to be computed from its codes; nothing if only
    /// its values count. The same errors as load().
    [[nodiscard]] virtual std::optional<EncodedTensor> stored(std::size_t /*index*/) const {
        return std::nullopt;
    }
    /// What products with stored() codes may look up.
    [[nodiscard]] virtual LookupTables tables() const { return LookupTables::fp32; }
};

/// The weights of a Hugging Face checkpoint: elements_of() each tensor.
class SourceWeights final : public WeightSource {
public:
    /// @pre  `source` outlives the object
    explicit SourceWeights(const SourceModel& source) : source_(source) {}
    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override;
    /// The rows from `first` on, as many as `values` has.
    void load_rows(std::size_t index, std::size_t first, const kernels::Backend& backend,
                   MatrixView<float> values) const;

private:
    const SourceModel& source_;
};

/// The rows of a fused tensor that belong to each of its parts, in the part's own order.
[[nodiscard]] std::vector<std::vector<std::uint32_t>> rows_of_parts(const TensorSpec& tensor);

/// A matrix [rows, cols] of elements of `element_bytes` each, turned: [cols, rows].
[[nodiscard]] std::vector<std::byte> turned(std::span<const std::byte> matrix,
                                            std::size_t element_bytes, std::size_t rows,
                                            std::size_t cols);

/// Weights that are stored encoded: a subclass reads a tensor, this class decodes it.
class EncodedWeights : public WeightSource {
public:
    [[nodiscard]] virtual EncodedTensor read(std::size_t index) const = 0;
    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const final;
};

/// Rows of a weight that have a NaN or an infinity.
struct NanRows {
    std::string tensor;
    std::vector<std::uint32_t> rows;  ///< ascending
};

/// Checks that every value is finite. Rows of an embedding (of tokens, positions or segments) that
/// are not become zeros where the model may have such (ModelSpec::allow_nan_rows) and no tied head
/// reads them.
/// @returns  those rows; none as a rule
/// @throws DataError  naming the tensor, the rows and, if there is one, the key that allows them
NanRows require_finite(const ModelSpec& spec, const TensorSpec& tensor,
                       const kernels::Backend& backend, MatrixView<float> values);

/// The weights of one block (or of what stands outside the blocks) in backend memory: fp32, or
/// packed where the source has codes or N:M values and the weight is one of a linear layer or the
/// token embedding, or in pieces where the source has those and it is one of a linear layer. A
/// fused tensor is there as its parts: whoever asks for q_proj gets it, however it was stored.
class LoadedWeights {
public:
    /// Loads the tensors of `block`, all or, if any are named, those of `roles`; with no block
    /// those of `roles` outside the blocks. As far as the model has them. Every weight is checked
    /// to be finite (require_finite()).
    /// @throws DataError  naming the tensor that has a NaN or an infinity
    static LoadedWeights load(const ModelSpec& spec, const WeightSource& source,
                              const kernels::Backend& backend, std::optional<std::size_t> block,
                              std::span<const Role> roles = {});

    /// The block they belong to; none: outside the blocks.
    [[nodiscard]] std::optional<std::size_t> block() const { return block_; }
    [[nodiscard]] bool has(Role role) const { return entries_.contains({role, false}); }
    /// [out_features, in_features]. @throws InternalError  if it was not loaded
    [[nodiscard]] Weight weight(Role role) const;
    /// The same, for a weight that is never packed.
    [[nodiscard]] MatrixView<const float> table(Role role) const;
    /// @throws DataError  if one of these rows of an embedding is not finite
    void require_finite_rows(Role table, std::span<const std::uint32_t> read) const;
    /// A norm's weight, or the bias of a linear role; empty if the model has none.
    [[nodiscard]] std::span<const float> vector(Role role, bool is_bias) const;

private:
    void add(const TensorSpec& tensor, LoadedWeight weight, const kernels::Backend& backend);
    void add_stored(const TensorSpec& tensor, const EncodedTensor& stored, LookupTables tables,
                    const kernels::Backend& backend);

    std::map<Role, NanRows> nan_rows_;  ///< of embeddings that have such
    std::optional<std::size_t> block_;
    std::map<std::pair<Role, bool>, LoadedWeight> entries_;
};

}  // namespace lathe
