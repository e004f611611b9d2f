#include "workers/weight_source.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "lib/core/errors.hpp"

namespace lathe {

void SourceWeights::load(std::size_t index, const kernels::Backend& backend,
                         MatrixView<float> values) const {
    const TensorSpec& tensor = spec_.tensors.at(index);
    const StoredTensor& stored = checkpoint_.at(tensor.name);
    if (tensor.transposed) {
        backend.upload(logical_bytes(tensor, stored).data(), stored.dtype, values);
    } else {
        backend.upload(stored.bytes.data(), stored.dtype, values);
    }
    checkpoint_.release(stored);
}

std::vector<std::byte> turned(std::span<const std::byte> matrix, std::size_t element_bytes,
                              std::size_t rows, std::size_t cols) {
    std::vector<std::byte> result(matrix.size());
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
            std::memcpy(result.data() + (j * rows + i) * element_bytes,
                        matrix.data() + (i * cols + j) * element_bytes, element_bytes);
        }
    }
    return result;
}

std::vector<std::byte> logical_bytes(const TensorSpec& tensor, const StoredTensor& stored) {
    if (!tensor.transposed) {
        return {stored.bytes.begin(), stored.bytes.end()};
    }
    return turned(stored.bytes, size_bytes(stored.dtype), tensor.shape.at(1), tensor.shape.at(0));
}

void EncodedWeights::load(std::size_t index, const kernels::Backend& backend,
                          MatrixView<float> values) const {
    const EncodedTensor tensor = read(index);
    std::vector<float> decoded(values.rows * values.cols);
    decode(tensor, {decoded.data(), values.rows, values.cols});
    backend.upload(reinterpret_cast<const std::byte*>(decoded.data()), DType::f32, values);
}

LoadedWeights LoadedWeights::load(const ModelSpec& spec, const WeightSource& source,
                                  const kernels::Backend& backend, std::optional<std::size_t> block,
                                  std::span<const Role> roles) {
    LoadedWeights loaded;
    loaded.block_ = block;
    for (std::size_t i = 0; i < spec.tensors.size(); ++i) {
        const TensorSpec& tensor = spec.tensors[i];
        const bool wanted = block ? tensor.block == block
                                  : !tensor.block && std::ranges::count(roles, tensor.role) > 0;
        if (!wanted) {
            continue;
        }
        const auto [rows, cols] = matrix_extents(tensor.shape);
        Entry entry{backend.allocate<float>(rows * cols), rows, cols};
        const MatrixView<float> values = entry.values.matrix(rows, cols);
        source.load(i, backend, values);
        if (!backend.all_finite(values)) {
            throw DataError("tensor " + tensor.name +
                            " has NaN or infinite weights; every weight must be finite");
        }
        loaded.add(tensor, std::move(entry), backend);
    }
    return loaded;
}

void LoadedWeights::add(const TensorSpec& tensor, Entry entry, const kernels::Backend& backend) {
    if (tensor.fused.parts.empty()) {
        entries_.emplace(std::pair(tensor.role, tensor.is_bias), std::move(entry));
        return;
    }
    // A bias is one column: its rows are shared out like those of the weight.
    const std::size_t cols = tensor.is_bias ? 1 : entry.cols;
    const std::size_t rows = tensor.shape.at(0);
    const std::size_t group_rows = rows / tensor.fused.n_groups;
    std::size_t offset = 0;
    for (const FusedRows::Part& part : tensor.fused.parts) {
        const std::size_t n = tensor.fused.n_groups * part.rows;
        const auto places = backend.allocate<std::uint32_t>(n);
        for (std::size_t r = 0; r < n; ++r) {
            places.span()[r] =
                static_cast<std::uint32_t>(r / part.rows * group_rows + offset + r % part.rows);
        }
        Entry own{backend.allocate<float>(n * cols), tensor.is_bias ? 1 : n,
                  tensor.is_bias ? n : cols};
        backend.embed(places.span(), entry.values.matrix(rows, cols), own.values.matrix(n, cols));
        entries_.emplace(std::pair(part.role, tensor.is_bias), std::move(own));
        offset += part.rows;
    }
}

MatrixView<const float> LoadedWeights::weight(Role role) const {
    const auto found = entries_.find({role, false});
    if (found == entries_.end()) {
        throw InternalError("no weight loaded for role " + std::string(name(role)));
    }
    return found->second.values.matrix(found->second.rows, found->second.cols);
}

std::span<const float> LoadedWeights::vector(Role role, bool is_bias) const {
    const auto found = entries_.find({role, is_bias});
    if (found == entries_.end()) {
        return {};
    }
    return found->second.values.span();
}

}  // namespace lathe
