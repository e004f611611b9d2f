#include "workers/network/integer_weights.hpp"

#include <algorithm>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/encoding/block_shift.hpp"

namespace lathe {
namespace {

using kernels::BlockedMatrix;

constexpr std::size_t usual_block_size = 64;

bool is_table(Role role) {
    return role == Role::token_embedding || role == Role::position_embedding ||
           role == Role::segment_embedding;
}

bool is_norm(Role role) {
    switch (role) {
        case Role::embedding_norm:
        case Role::attention_norm:
        case Role::q_norm:
        case Role::k_norm:
        case Role::mlp_norm:
        case Role::final_norm:
            return true;
        default:
            return false;
    }
}

BlockedMatrix from_stored(const EncodedTensor& tensor) {
    const BlockShiftLayout layout = block_shift_layout(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    BlockedMatrix blocks(rows, cols, layout.block_size, layout.num_bits);
    blocks.shifts = read_shifts(tensor);
    for (std::size_t r = 0; r < rows; ++r) {
        read_block_row(tensor, r, blocks.narrow.data() + r * cols);
        for (std::size_t b = 0; b < blocks.blocks(); ++b) {
            const std::int8_t* begin = blocks.narrow.data() + r * cols + b * layout.block_size;
            const std::size_t n = std::min(layout.block_size, cols - b * layout.block_size);
            if (std::all_of(begin, begin + n, [](std::int8_t q) { return q == 0; })) {
                blocks.shifts[r * blocks.blocks() + b] = kernels::most_shift;
            }
        }
    }
    return blocks;
}

BlockedMatrix rounded(const ModelSpec& spec, const TensorSpec& tensor, std::size_t index,
                      const std::optional<EncodedTensor>& stored, const WeightSource& source,
                      const kernels::Backend& backend) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const auto memory = backend.allocate<float>(rows * cols);
    const MatrixView<float> values = memory.matrix(rows, cols);
    if (stored) {
        decode(*stored, values);
    } else {
        source.load(index, backend, values);
    }
    require_finite(spec, tensor, backend, values);
    BlockedMatrix blocks(rows, cols, usual_block_size, 8);
    kernels::to_blocks(values, blocks);
    return blocks;
}

/// Rows of a matrix; of one row columns, which then are rounded to blocks anew.
BlockedMatrix selected(const BlockedMatrix& from, std::span<const std::uint32_t> rows,
                       bool are_columns) {
    if (are_columns) {
        std::vector<float> all(from.cols);
        kernels::from_blocks(from, {all.data(), 1, from.cols});
        std::vector<float> own;
        for (const std::uint32_t row : rows) own.push_back(all[row]);
        BlockedMatrix blocks(1, own.size(), std::min(from.block_size, own.size()), 8);
        kernels::to_blocks({own.data(), 1, own.size()}, blocks);
        return blocks;
    }
    BlockedMatrix blocks(rows.size(), from.cols, from.block_size, from.num_bits);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::copy_n(from.narrow.data() + rows[i] * from.cols, from.cols,
                    blocks.narrow.data() + i * from.cols);
        std::copy_n(from.shifts.data() + rows[i] * from.blocks(), from.blocks(),
                    blocks.shifts.data() + i * from.blocks());
    }
    return blocks;
}

}  // namespace

IntegerWeights IntegerWeights::load(const ModelSpec& spec, const WeightSource& source,
                                    const kernels::Backend& backend,
                                    const kernels::Integers& integers,
                                    std::optional<std::size_t> block, std::span<const Role> roles) {
    IntegerWeights loaded;
    for (std::size_t i = 0; i < spec.tensors.size(); ++i) {
        const TensorSpec& tensor = spec.tensors[i];
        const bool is_named = std::ranges::count(roles, tensor.role) > 0;
        if (tensor.block != block || !(is_named || (block && roles.empty()))) {
            continue;
        }
        const auto stored = source.stored(i);
        const bool is_taken_over =
            stored && stored->encoding == "block_shift" && block_shift_layout(*stored).has_shifts();
        loaded.add(spec, tensor,
                   is_taken_over ? from_stored(*stored)
                                 : rounded(spec, tensor, i, stored, source, backend),
                   integers);
    }
    return loaded;
}

void IntegerWeights::add(const ModelSpec& spec, const TensorSpec& tensor, BlockedMatrix blocks,
                         const kernels::Integers& integers) {
    if (tensor.fused.parts.empty()) {
        add_part(spec, tensor.role, tensor.is_bias, std::move(blocks), integers);
        return;
    }
    const auto parts = rows_of_parts(tensor);
    for (std::size_t i = 0; i < parts.size(); ++i) {
        add_part(spec, tensor.fused.parts[i].role, tensor.is_bias,
                 selected(blocks, parts[i], tensor.is_bias), integers);
    }
}

void IntegerWeights::add_part(const ModelSpec& spec, Role role, bool is_bias, BlockedMatrix blocks,
                              const kernels::Integers& integers) {
    const bool is_head_too = role == Role::token_embedding && spec.tied_head;
    if (is_bias || is_norm(role) || is_table(role)) {
        if (is_head_too && !is_bias) {
            packed_.emplace(role, integers.pack(blocks));
        }
        tables_.emplace(std::pair(role, is_bias), std::move(blocks));
    } else {
        packed_.emplace(role, integers.pack(blocks));
    }
}

bool IntegerWeights::has(Role role) const {
    return packed_.contains(role) || tables_.contains({role, false});
}

const kernels::IntegerWeight& IntegerWeights::weight(Role role) const {
    const auto found = packed_.find(role);
    if (found == packed_.end()) {
        throw InternalError("no weight loaded for role " + std::string(name(role)));
    }
    return *found->second;
}

const BlockedMatrix& IntegerWeights::table(Role role) const {
    const auto found = tables_.find({role, false});
    if (found == tables_.end()) {
        throw InternalError("no table loaded for role " + std::string(name(role)));
    }
    return found->second;
}

const BlockedMatrix* IntegerWeights::vector(Role role, bool is_bias) const {
    const auto found = tables_.find({role, is_bias});
    return found == tables_.end() ? nullptr : &found->second;
}

}  // namespace lathe
