#include "workers/network/integer_pass.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/core/errors.hpp"
#include "workers/network/linear.hpp"

// What an integer pass is made of; integer_block.cpp has the blocks.

namespace lathe {

using kernels::BlockedMatrix;

IntegerPass::IntegerPass(const ModelSpec& spec, const kernels::Backend& backend,
                         const IntegerParts& parts, std::size_t max_sequence_length)
    : spec_(spec),
      backend_(backend),
      parts_(parts),
      integers_(backend.integers()),
      forward_(spec, backend, max_sequence_length),
      max_sequence_length_(max_sequence_length),
      pairs_(spec.rope.inv_freq.size()),
      norm_first_(spec.form != BlockForm::post_norm) {
    if (spec.is_sliced()) {
        throw UsageError(
            "--integer: this model's hidden size was cut; its norms have no parameters, and there "
            "is no integer form of them");
    }
    if (spec.rope.attention_factor >= 2.0) {
        throw UsageError("--integer: rotary positions of this model are scaled by " +
                         std::to_string(spec.rope.attention_factor) +
                         "; with 14 bits behind the binary point below 2 is possible");
    }
    make_angles();
}

void IntegerPass::make_angles() {
    const auto fixed = [](double x) { return static_cast<std::int16_t>(std::lround(x * 16384.0)); };
    for (std::size_t p = 0; pairs_ > 0 && p < max_sequence_length_; ++p) {
        for (std::size_t i = 0; i < pairs_; ++i) {
            const RotaryAngle angle = rotary_angle(spec_.rope, p, i);
            cos_.push_back(fixed(angle.cos));
            sin_.push_back(fixed(angle.sin));
        }
    }
}

MixedWeights IntegerPass::load(const WeightSource& source, std::optional<std::size_t> block,
                               std::span<const Role> roles) const {
    MixedWeights weights{IntegerWeights::load(spec_, source, backend_, *integers_, block, roles),
                         std::nullopt, block};
    if (!parts_.all()) {
        weights.floats = LoadedWeights::load(spec_, source, backend_, block, roles);
    }
    return weights;
}

void IntegerPass::set_positions(const TokenSequences& batch, std::size_t first_position) {
    if (batch.max_length() + first_position > max_sequence_length_) {
        throw ShapeError("sequences of " + std::to_string(batch.max_length() + first_position) +
                         " tokens, tables for " + std::to_string(max_sequence_length_));
    }
    positions_.clear();
    for (const std::uint32_t length : batch.lengths) {
        for (std::uint32_t p = 0; p < length; ++p) {
            positions_.push_back(static_cast<std::uint32_t>(first_position) + p);
        }
    }
}

Flow IntegerPass::embed(const MixedWeights& embedding, const TokenSequences& batch,
                        std::size_t first_position) {
    set_positions(batch, first_position);
    const std::size_t tokens = batch.tokens();
    const bool has_norm = embedding.has(Role::embedding_norm);
    std::vector<std::uint32_t> rows = positions_;
    for (std::uint32_t& row : rows) {
        row += static_cast<std::uint32_t>(spec_.position_offset);
    }
    std::vector<std::uint32_t> segments(tokens, 0);
    std::ranges::copy(batch.segments, segments.begin());

    std::vector<kernels::TableRows> terms;
    Flow projected;
    std::vector<std::uint32_t> own_rows(tokens);
    if (parts_.embedding && embedding.has(Role::embedding_projection)) {
        Flow narrow(BlockedMatrix(tokens, spec_.embedding_size, parts_.block_size, 8));
        integers_->embed({{{&embedding.integers.table(Role::token_embedding), batch.ids}}},
                         narrow.as_stored());
        projected = linear(embedding, Role::embedding_projection, narrow, parts_.block_size, 16);
        std::iota(own_rows.begin(), own_rows.end(), 0U);
        terms.push_back({&projected.blocks(parts_.block_size, 16), own_rows});
    } else if (parts_.embedding) {
        terms.push_back({&embedding.integers.table(Role::token_embedding), batch.ids});
    }
    if (parts_.embedding && embedding.has(Role::position_embedding)) {
        terms.push_back({&embedding.integers.table(Role::position_embedding), rows});
    }
    if (parts_.embedding && embedding.has(Role::segment_embedding)) {
        terms.push_back({&embedding.integers.table(Role::segment_embedding), segments});
    }
    Flow hidden = make(
        parts_.embedding, tokens, spec_.hidden_size, parts_.block_size, 16,
        [&](BlockedMatrix& y) { integers_->embed(terms, y); },
        [&](MatrixView<float> y) {
            forward_.embed_sum(*embedding.floats, batch, y, first_position);
        });
    return has_norm ? norm(embedding, Role::embedding_norm, hidden, parts_.block_size,
                           norm_first_ ? 16 : 8)
                    : std::move(hidden);
}

Flow IntegerPass::linear(const MixedWeights& weights, Role role, Flow& x, std::size_t block_size,
                         unsigned num_bits) {
    const std::size_t rows = weights.integers.weight(role).rows();
    return make(
        parts_.products, x.rows(), rows, block_size, num_bits,
        [&](BlockedMatrix& y) {
            const bool is_narrow = x.is_blocks() && !x.as_stored().is_wide();
            integers_->linear(is_narrow ? x.as_stored() : x.blocks(parts_.block_size, 8),
                              weights.integers.weight(role), weights.integers.vector(role, true),
                              y);
        },
        [&](MatrixView<float> y) {
            const LinearLayer layer{weights.floats->weight(role),
                                    weights.floats->vector(role, true), y};
            multiply_all(backend_, false, x.values(), {&layer, 1});
        });
}

Flow IntegerPass::norm(const MixedWeights& weights, Role role, Flow& x, std::size_t block_size,
                       unsigned num_bits) {
    const bool subtracts = spec_.norm == NormKind::layer;
    return make(
        parts_.norm, x.rows(), x.cols(), block_size, num_bits,
        [&](BlockedMatrix& y) {
            integers_->norm(blocks_of(x),
                            {subtracts, spec_.norm_epsilon, weights.integers.vector(role, false),
                             weights.integers.vector(role, true)},
                            y);
        },
        [&](MatrixView<float> y) {
            const LoadedWeights& floats = *weights.floats;
            if (subtracts) {
                backend_.layer_norm(x.values(), floats.vector(role, false),
                                    floats.vector(role, true), spec_.norm_epsilon, y);
            } else {
                backend_.rms_norm(x.values(), floats.vector(role, false), spec_.norm_epsilon, y);
            }
        });
}

Flow IntegerPass::add(Flow& x, Flow& y, unsigned num_bits) {
    return make(
        parts_.residual, x.rows(), x.cols(), parts_.block_size, num_bits,
        [&](BlockedMatrix& z) { integers_->add(blocks_of(x), blocks_of(y), z); },
        [&](MatrixView<float> z) {
            backend_.copy(MatrixView<const float>(x.values()), z);
            backend_.add(y.values(), z);
        });
}

Flow IntegerPass::head_input(const MixedWeights& head, const TokenSequences& batch, Flow hidden) {
    if (head.has(Role::final_norm)) {
        hidden = norm(head, Role::final_norm, hidden, parts_.block_size, 8);
    }
    if (spec_.head == HeadKind::classifier) {
        std::vector<std::uint32_t> firsts;
        std::uint32_t first = 0;
        for (const std::uint32_t length : batch.lengths) {
            firsts.push_back(first);
            first += length;
        }
        return make(
            hidden.is_blocks(), firsts.size(), hidden.cols(), parts_.block_size, 8,
            [&](BlockedMatrix& y) {
                integers_->embed({{{&hidden.as_stored(), firsts}}}, y);
            },
            [&](MatrixView<float> y) { backend_.embed(firsts, hidden.values(), y); });
    }
    return head.has(Role::head_projection)
               ? linear(head, Role::head_projection, hidden, parts_.block_size, 8)
               : std::move(hidden);
}

void IntegerPass::head(const MixedWeights& head, Flow x, MatrixView<float> logits) {
    Role role = spec_.tied_head ? Role::token_embedding : Role::lm_head;
    if (spec_.head == HeadKind::classifier) {
        Flow pooled = linear(head, Role::pooler, x, parts_.block_size, 16);
        x = activate(spec_.pooler_activation, pooled);
        role = Role::classifier;
    }
    if (parts_.products) {
        integers_->logits(x.blocks(parts_.block_size, 8), head.integers.weight(role),
                          head.integers.vector(role, true), logits);
        return;
    }
    const LinearLayer layer{head.floats->weight(role), head.floats->vector(role, true), logits};
    multiply_all(backend_, false, x.values(), {&layer, 1});
}

}  // namespace lathe
