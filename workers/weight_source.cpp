#include "workers/weight_source.hpp"

#include <algorithm>
#include <vector>

#include "lib/core/errors.hpp"

namespace lathe {

void SourceWeights::load(std::size_t index, const kernels::Backend& backend,
                         MatrixView<float> values) const {
    const StoredTensor& stored = checkpoint_.at(spec_.tensors.at(index).name);
    backend.upload(stored.bytes.data(), stored.dtype, values);
    checkpoint_.release(stored);
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
        loaded.entries_.emplace(std::pair(tensor.role, tensor.is_bias), std::move(entry));
    }
    return loaded;
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
