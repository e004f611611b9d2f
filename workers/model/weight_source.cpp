#include "workers/model/weight_source.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"
#include "lib/encoding/split.hpp"
#include "workers/model/coded_matrix.hpp"
#include "workers/model/source_model.hpp"

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
    load_rows(index, 0, backend, values);
}

void SourceWeights::load_rows(std::size_t index, std::size_t first, const kernels::Backend& backend,
                              MatrixView<float> values) const {
    std::vector<std::byte> memory;
    const DType dtype = source_.dtype(index);
    backend.upload(
        elements_of(source_, index, memory).data() + first * values.cols * size_bytes(dtype), dtype,
        values);
    source_.weights.release(source_.weights.at(source_.spec.tensors.at(index).name));
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

void EncodedWeights::load(std::size_t index, const kernels::Backend& backend,
                          MatrixView<float> values) const {
    upload_decoded(read(index), backend, values);
}

namespace {

/// "rows 7, 2050 to 2111 (63 of 2112)".
std::string described(const std::vector<std::uint32_t>& rows, std::size_t n_rows) {
    constexpr std::size_t most_shown = 8;
    std::string text;
    std::size_t n_shown = 0;
    for (std::size_t i = 0; i < rows.size(); ++n_shown) {
        std::size_t last = i;
        while (last + 1 < rows.size() && rows[last + 1] == rows[last] + 1) {
            ++last;
        }
        if (n_shown < most_shown) {
            text += (text.empty() ? "" : ", ") + std::to_string(rows[i]);
            text += last == i ? "" : " to " + std::to_string(rows[last]);
        }
        i = last + 1;
    }
    return (rows.size() == 1 ? "row " : "rows ") + text + (n_shown > most_shown ? ", ..." : "") +
           " (" + std::to_string(rows.size()) + " of " + std::to_string(n_rows) + ")";
}

std::vector<std::uint32_t> rows_not_finite(MatrixView<const float> values) {
    std::vector<std::uint32_t> rows;
    for (std::size_t r = 0; r < values.rows; ++r) {
        const std::span<const float> row(values.row(r), values.cols);
        if (!std::ranges::all_of(row, [](float x) { return std::isfinite(x); })) {
            rows.push_back(static_cast<std::uint32_t>(r));
        }
    }
    return rows;
}

/// Whether texts read single rows of the tensor.
bool is_looked_up(const TensorSpec& tensor) {
    return !tensor.is_bias &&
           (tensor.role == Role::token_embedding || tensor.role == Role::position_embedding ||
            tensor.role == Role::segment_embedding);
}

}  // namespace

NanRows require_finite(const ModelSpec& spec, const TensorSpec& tensor,
                       const kernels::Backend& backend, MatrixView<float> values) {
    if (backend.all_finite(values)) {
        return {};
    }
    std::vector<float> host = backend.to_host(values);
    const MatrixView<float> copy(host.data(), values.rows, values.cols);
    NanRows found{tensor.name, rows_not_finite(copy)};
    const std::string rows = described(found.rows, values.rows);
    const bool read_by_head = tensor.role == Role::token_embedding && spec.tied_head;
    if (!is_looked_up(tensor) || read_by_head || !spec.allow_nan_rows) {
        std::string message = "tensor " + tensor.name + " has NaN or infinite weights" +
                              (values.rows > 1 ? " in " + rows : "") +
                              "; every weight must be finite";
        if (read_by_head) {
            message += ", and the head, which is this embedding, reads every row";
        } else if (is_looked_up(tensor)) {
            message +=
                ". If no text reads these rows, allow_nan_rows: true in the job file, or --set "
                "allow_nan_rows=true, takes them for zeros";
        }
        throw DataError(message);
    }
    for (const std::uint32_t row : found.rows) {
        std::fill_n(copy.row(row), copy.cols, 0.0F);
    }
    backend.upload(reinterpret_cast<const std::byte*>(host.data()), DType::f32, values);
    log_warning_once("rows_not_finite tensor=" + tensor.name + " " + rows +
                     ": taken for zeros, and a text that reads one is refused");
    return found;
}

namespace {

/// The pieces that a part of a fused tensor consists of; none if it is not whole pieces of a split.
std::optional<EncodedTensor> pieces_of_part(const EncodedTensor& stored,
                                            std::span<const std::uint32_t> rows) {
    const bool is_run = rows.back() - rows.front() + 1 == rows.size();
    return is_run && stored.encoding == "split" ? whole_pieces(stored, rows.front(), rows.size())
                                                : std::nullopt;
}

LoadedWeight packed_rows(const EncodedTensor& stored, std::span<const std::uint32_t> rows,
                         LookupTables tables, const kernels::Backend& backend) {
    auto packed = pack(stored, tables, backend, rows);
    const std::size_t n_cols = packed->cols();
    return {{}, rows.size(), n_cols, std::move(packed)};
}

/// Whether a weight is loaded in the form it is stored in, and not decoded.
bool is_loaded_as_stored(const TensorSpec& tensor, const EncodedTensor& stored,
                         const kernels::Backend& backend) {
    if (stored.pieces.empty()) {
        return can_be_packed(stored, backend);
    }
    const auto parts =
        tensor.fused.parts.empty() ? decltype(rows_of_parts(tensor)){} : rows_of_parts(tensor);
    return tensor.role != Role::token_embedding &&  // which is looked up too
           std::ranges::all_of(
               parts, [&](const auto& rows) { return pieces_of_part(stored, rows).has_value(); });
}

}  // namespace

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
        if (stored && is_loaded_as_stored(tensor, *stored, backend)) {
            loaded.add_stored(tensor, *stored, source.tables(), backend);
            continue;
        }
        const auto [rows, cols] = matrix_extents(tensor.shape);
        LoadedWeight weight{backend.allocate<float>(rows * cols), rows, cols};
        const MatrixView<float> values = weight.values.matrix(rows, cols);
        if (stored) {
            upload_decoded(*stored, backend, values);
        } else {
            source.load(i, backend, values);
        }
        NanRows nan_rows = require_finite(spec, tensor, backend, values);
        if (!nan_rows.rows.empty()) {
            loaded.nan_rows_[tensor.role] = std::move(nan_rows);
        }
        loaded.add(tensor, std::move(weight), backend);
    }
    return loaded;
}

void LoadedWeights::add(const TensorSpec& tensor, LoadedWeight weight,
                        const kernels::Backend& backend) {
    if (tensor.fused.parts.empty()) {
        entries_.emplace(std::pair(tensor.role, tensor.is_bias), std::move(weight));
        return;
    }
    // A bias is one column: its rows are shared out like those of the weight.
    const std::size_t cols = tensor.is_bias ? 1 : weight.cols;
    const auto parts = rows_of_parts(tensor);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::size_t n = parts[i].size();
        LoadedWeight own{backend.allocate<float>(n * cols), tensor.is_bias ? 1 : n,
                         tensor.is_bias ? n : cols};
        backend.embed(parts[i], weight.values.matrix(tensor.shape.at(0), cols),
                      own.values.matrix(n, cols));
        entries_.emplace(std::pair(tensor.fused.parts[i].role, tensor.is_bias), std::move(own));
    }
}

void LoadedWeights::add_stored(const TensorSpec& tensor, const EncodedTensor& stored,
                               LookupTables tables, const kernels::Backend& backend) {
    try {
        if (tensor.fused.parts.empty()) {
            entries_.emplace(std::pair(tensor.role, false), load_stored(stored, tables, backend));
            return;
        }
        const auto parts = rows_of_parts(tensor);
        for (std::size_t i = 0; i < parts.size(); ++i) {
            const auto pieces = pieces_of_part(stored, parts[i]);
            entries_.emplace(std::pair(tensor.fused.parts[i].role, false),
                             pieces ? load_stored(*pieces, tables, backend)
                                    : packed_rows(stored, parts[i], tables, backend));
        }
    } catch (const DataError& error) {
        throw DataError("tensor " + tensor.name + ": " + error.what());
    }
}

Weight LoadedWeights::weight(Role role) const {
    const auto found = entries_.find({role, false});
    if (found == entries_.end()) {
        throw InternalError("no weight loaded for role " + std::string(name(role)));
    }
    return found->second.view();
}

MatrixView<const float> LoadedWeights::table(Role role) const {
    const Weight found = weight(role);
    if (found.packed != nullptr || found.pieces != nullptr) {
        throw InternalError("the weight of role " + std::string(name(role)) +
                            " is packed or in pieces, values were asked for");
    }
    return found.values;
}

void LoadedWeights::require_finite_rows(Role table, std::span<const std::uint32_t> read) const {
    const auto found = nan_rows_.find(table);
    if (found == nan_rows_.end()) {
        return;
    }
    for (const std::uint32_t row : read) {
        if (std::ranges::binary_search(found->second.rows, row)) {
            throw DataError("a text reads row " + std::to_string(row) + " of tensor " +
                            found->second.tensor + ", which has NaN or infinite weights");
        }
    }
}

std::span<const float> LoadedWeights::vector(Role role, bool is_bias) const {
    const auto found = entries_.find({role, is_bias});
    if (found == entries_.end()) {
        return {};
    }
    return found->second.values.span();
}

}  // namespace lathe
