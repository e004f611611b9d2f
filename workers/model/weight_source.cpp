#include "workers/model/weight_source.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "lib/core/errors.hpp"
#include "workers/model/coded_matrix.hpp"

namespace lathe {
namespace {

/// Whether the forward pass reads a weight through linear() and embed() alone, which take codes.
bool may_be_packed(const TensorSpec& tensor) {
    return !tensor.is_bias && tensor.shape.size() == 2 && tensor.role != Role::position_embedding &&
           tensor.role != Role::segment_embedding;
}

void upload_decoded(const EncodedTensor& tensor, const kernels::Backend& backend,
                    MatrixView<float> values) {
    std::vector<float> decoded(values.rows * values.cols);
    decode(tensor, {decoded.data(), values.rows, values.cols});
    backend.upload(reinterpret_cast<const std::byte*>(decoded.data()), DType::f32, values);
}

}  // namespace

std::vector<std::vector<std::uint32_t>> rows_of_parts(const TensorSpec& tensor) {
    const std::size_t group_rows = tensor.shape.at(0) / tensor.fused.n_groups;
    std::vector<std::vector<std::uint32_t>> parts;
    std::size_t offset = 0;
    for (const FusedRows::Part& part : tensor.fused.parts) {
        std::vector<std::uint32_t>& rows = parts.emplace_back(tensor.fused.n_groups * part.rows);
        for (std::size_t r = 0; r < rows.size(); ++r) {
            rows[r] =
                static_cast<std::uint32_t>(r / part.rows * group_rows + offset + r % part.rows);
        }
        offset += part.rows;
    }
    return parts;
}

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
    upload_decoded(read(index), backend, values);
}

LoadedWeights LoadedWeights::load(const ModelSpec& spec, const WeightSource& source,
                                  const kernels::Backend& backend, std::optional<std::size_t> block,
                                  std::span<const Role> roles) {
    LoadedWeights loaded;
    loaded.block_ = block;
    for (std::size_t i = 0; i < spec.tensors.size(); ++i) {
        const TensorSpec& tensor = spec.tensors[i];
        const bool is_named = std::ranges::count(roles, tensor.role) > 0;
        if (tensor.block != block || !(is_named || (block && roles.empty()))) {
            continue;
        }
        const auto stored = may_be_packed(tensor) ? source.stored(i) : std::nullopt;
        if (stored && can_be_packed(*stored, backend)) {
            loaded.add_packed(tensor, *stored, source.tables(), backend);
            continue;
        }
        const auto [rows, cols] = matrix_extents(tensor.shape);
        Entry entry{backend.allocate<float>(rows * cols), rows, cols};
        const MatrixView<float> values = entry.values.matrix(rows, cols);
        if (stored) {
            upload_decoded(*stored, backend, values);
        } else {
            source.load(i, backend, values);
        }
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
    const auto parts = rows_of_parts(tensor);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::size_t n = parts[i].size();
        Entry own{backend.allocate<float>(n * cols), tensor.is_bias ? 1 : n,
                  tensor.is_bias ? n : cols};
        backend.embed(parts[i], entry.values.matrix(tensor.shape.at(0), cols),
                      own.values.matrix(n, cols));
        entries_.emplace(std::pair(tensor.fused.parts[i].role, tensor.is_bias), std::move(own));
    }
}

void LoadedWeights::add_packed(const TensorSpec& tensor, const EncodedTensor& stored,
                               LookupTables tables, const kernels::Backend& backend) {
    const auto emplace = [&](Role role, std::optional<std::span<const std::uint32_t>> rows) {
        auto packed = pack(stored, tables, backend, rows);
        const std::size_t n_rows = packed->rows();
        const std::size_t n_cols = packed->cols();
        entries_.emplace(std::pair(role, false), Entry{{}, n_rows, n_cols, std::move(packed)});
    };
    try {
        if (tensor.fused.parts.empty()) {
            emplace(tensor.role, std::nullopt);
            return;
        }
        const auto parts = rows_of_parts(tensor);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            emplace(tensor.fused.parts[i].role, parts[i]);
        }
    } catch (const DataError& error) {
        throw DataError("tensor " + tensor.name + ": " + error.what());
    }
}

const LoadedWeights::Entry& LoadedWeights::entry(Role role) const {
    const auto found = entries_.find({role, false});
    if (found == entries_.end()) {
        throw InternalError("no weight loaded for role " + std::string(name(role)));
    }
    return found->second;
}

Weight LoadedWeights::weight(Role role) const {
    const Entry& found = entry(role);
    if (found.packed) {
        return {{}, found.packed.get()};
    }
    return {found.values.matrix(found.rows, found.cols), nullptr};
}

MatrixView<const float> LoadedWeights::table(Role role) const {
    const Weight found = weight(role);
    if (found.packed != nullptr) {
        throw InternalError("the weight of role " + std::string(name(role)) +
                            " is packed, values were asked for");
    }
    return found.values;
}

std::span<const float> LoadedWeights::vector(Role role, bool is_bias) const {
    const auto found = entries_.find({role, is_bias});
    if (found == entries_.end()) {
        return {};
    }
    return found->second.values.span();
}

}  // namespace lathe
