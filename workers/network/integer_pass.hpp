#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/contract/integers.hpp"
#include "workers/network/flow.hpp"
#include "workers/network/forward.hpp"
#include "workers/network/integer_parts.hpp"
#include "workers/network/integer_weights.hpp"

namespace lathe {

/// Weights for both kinds of operators; those of one kind are loaded only where a part needs them.
struct MixedWeights {
    IntegerWeights integers;
    std::optional<LoadedWeights> floats;
    std::optional<std::size_t> block;

    [[nodiscard]] bool has(Role role) const { return integers.has(role); }
};

/// Keys and values of one sequence in blocks of 8 bits, a head each.
struct IntegerCache {
    struct Block {
        kernels::BlockedMatrix keys;
        kernels::BlockedMatrix values;
    };
    std::vector<Block> blocks;
    std::size_t length = 0;
};

/// The forward pass of a model, block by block, with its IntegerParts on blocks of whole numbers.
/// With all parts there is no floating point between ids and logits. What is stored in 16 bits:
///
///   the residual stream of blocks that norm first: it grows from block to block, and what one
///     block adds is small beside it; of 8 bits it would lose most of that
///   sums before a norm, queries and keys before they are normed or rotated, what a layer writes
///     for the next sum or for an activation: they are rounded once more right after
///
/// and everything else in 8. Not for sliced models. What a pass makes must not outlive it.
class IntegerPass {
public:
    /// @pre  `spec` and `backend` outlive the object
    /// @throws UsageError  for a model, or a backend, that has no such form
    IntegerPass(const ModelSpec& spec, const kernels::Backend& backend, const IntegerParts& parts,
                std::size_t max_sequence_length);

    [[nodiscard]] MixedWeights load(const WeightSource& source, std::optional<std::size_t> block,
                                    std::span<const Role> roles = {}) const;

    /// What enters the first block.
    [[nodiscard]] Flow embed(const MixedWeights& embedding, const TokenSequences& batch,
                             std::size_t first_position = 0);
    /// One block, in place. With a cache the batch is one sequence that continues where it ends;
    /// the caller moves IntegerCache::length on when all blocks are done.
    void block(const MixedWeights& weights, const TokenSequences& batch, Flow& hidden,
               IntegerCache* cache = nullptr);
    /// Final norm and, of a classifier, the first token of each sequence.
    [[nodiscard]] Flow head_input(const MixedWeights& head, const TokenSequences& batch,
                                  Flow hidden);
    void head(const MixedWeights& head, Flow x, MatrixView<float> logits);

    [[nodiscard]] std::vector<Role> head_roles() const { return forward_.head_roles(); }

private:
    /// An operator on blocks writes its result to what it is given, one in fp32 to the values.
    template <class OnBlocks, class OnValues>
    [[nodiscard]] Flow make(bool on_blocks, std::size_t rows, std::size_t cols,
                            std::size_t block_size, unsigned num_bits, const OnBlocks& blocks,
                            const OnValues& values) const {
        Flow result;
        if (on_blocks) {
            result = Flow(pool_->take(rows, cols, block_size, parts_.storage ? num_bits : 16),
                          pool_.get());
            blocks(result.as_stored());
        } else {
            result = Flow::of_values(rows, cols);
            values(result.values());
        }
        if (parts_.storage) {
            (void)result.blocks(block_size, num_bits);
        } else {
            (void)result.values();
        }
        return result;
    }
    /// Its blocks as they are, or what fp32 values round to in 16 bits.
    [[nodiscard]] const kernels::BlockedMatrix& blocks_of(Flow& x) const {
        return x.is_blocks() ? x.as_stored() : x.blocks(parts_.block_size, 16);
    }
    [[nodiscard]] Flow linear(const MixedWeights& weights, Role role, Flow& x,
                              std::size_t block_size, unsigned num_bits);
    [[nodiscard]] Flow norm(const MixedWeights& weights, Role role, Flow& x, std::size_t block_size,
                            unsigned num_bits);
    [[nodiscard]] Flow add(Flow& x, Flow& y, unsigned num_bits);
    [[nodiscard]] Flow activate(Activation kind, Flow& x);
    [[nodiscard]] Flow rotate(Flow& x);
    [[nodiscard]] Flow heads(const MixedWeights& weights, Role projection, Role head_norm, Flow& x);
    [[nodiscard]] Flow attention(const MixedWeights& weights, const TokenSequences& batch, Flow& x,
                                 IntegerCache* cache);
    [[nodiscard]] Flow attend(Flow& q, Flow& k, Flow& v, const kernels::AttentionShape& shape);
    [[nodiscard]] Flow mlp(const MixedWeights& weights, Flow& x);
    void set_positions(const TokenSequences& batch, std::size_t first_position);
    void make_angles();

    const ModelSpec& spec_;
    const kernels::Backend& backend_;
    IntegerParts parts_;
    std::unique_ptr<const kernels::Integers> integers_;
    std::unique_ptr<BlockPool> pool_ = std::make_unique<BlockPool>();
    ForwardPass forward_;  ///< for what it knows of roles
    std::size_t max_sequence_length_;
    std::size_t pairs_;
    std::vector<std::int16_t> cos_;  ///< [max_sequence_length, pairs]
    std::vector<std::int16_t> sin_;
    std::vector<std::uint32_t> positions_;  ///< [tokens]
    bool norm_first_;
};

}  // namespace lathe
