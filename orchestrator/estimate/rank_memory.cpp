#include "orchestrator/estimate/rank_memory.hpp"

#include <algorithm>

#include "orchestrator/estimate/model_sums.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {
namespace {

bool has_admm(const Setting& setting) {
    const auto solver = setting.values.find("solver");
    return solver != setting.values.end() && solver->second.starts_with("admm");
}

/// Bytes of each element of a unit and of its Gram matrix.
struct SolvingBytes {
    std::uint64_t of_element = 0;
    std::uint64_t of_square = 0;
};

/// While solutions are made. Of each element of the unit: the weight, the stack, the values and, by
/// method, what stands in its solver; of each element of the Gram matrix: itself and its factor, or
/// ADMM's matrix and inverse.
SolvingBytes solving_bytes(const std::vector<Setting>& settings) {
    std::uint64_t refined = 0;
    SolvingBytes bytes{12 + 6, 8};  // codes twice, a difference
    for (const Setting& setting : settings) {
        refined += has_admm(setting) ? 1 : 0;
        if (setting.method == "nm") {
            bytes.of_element =
                std::max<std::uint64_t>(bytes.of_element, has_admm(setting) ? 52 : 24);
            bytes.of_square = std::max<std::uint64_t>(bytes.of_square, 16);
        } else if (setting.method == "low_rank" || setting.method == "ffsplit") {
            bytes.of_element = std::max<std::uint64_t>(bytes.of_element, 40);
            bytes.of_square = std::max<std::uint64_t>(bytes.of_square, 40);
        }
    }
    if (refined > 0) {  // target, step and its product, a difference; of each its state and codes
        bytes.of_element = std::max<std::uint64_t>(bytes.of_element, 12 + 16) + 6 * refined;
        bytes.of_square = std::max<std::uint64_t>(bytes.of_square, 12);
    }
    return bytes;
}

/// While a factor is made: the weights and the stack; the Gram matrix, the factor, and the triangle
/// that it is made in (8 bytes of one half).
constexpr SolvingBytes factoring_bytes{8, 12};
/// The same by a task of its own, without the rows, where the factor takes the matrix's place.
constexpr SolvingBytes factor_task_bytes{0, 8};

}  // namespace

RankMemory::RankMemory(const ModelSpec& spec, const JobConfig& job, std::uint64_t limit)
    : spec_(spec),
      limit_(limit),
      block_(static_cast<std::uint64_t>(block_weights(spec))),
      square_(spec.hidden_size * spec.hidden_size),
      grams_(static_cast<std::uint64_t>(gram_elements(spec))),
      stream_grams_(job.slice ? spec.steps_per_block() * square_ : 0),
      length_(std::min(job.calibration.max_seq_length, spec.max_positions)),
      stream_(4 * job.calibration.num_calibration_samples * length_ * spec.hidden_size) {}

RankMemory::Streamed RankMemory::with_streams(std::uint64_t n_streams, std::uint64_t rest) const {
    const std::uint64_t in_memory = rest + n_streams * stream_;
    if (limit_ == 0 || in_memory + process_bytes <= limit_) {
        return {in_memory, false};
    }
    // Two batches of each: one at work, one that is let go.
    const std::uint64_t batch = 4 * std::max<std::uint64_t>(tokens_per_batch, length_);
    return {rest + n_streams * std::min(stream_, 2 * batch * spec_.hidden_size), true};
}

// A block in fp32, its Gram matrices as triangles in fp32, those of streams whole in fp64; the
// residual stream of all samples; the embedding, which the first block's rank has.
RankMemory::Streamed RankMemory::calibrate() const {
    return with_streams(
        2, 4 * block_ + 2 * grams_ + 8 * stream_grams_ + 4 * spec_.vocab_size * spec_.hidden_size);
}

std::uint64_t RankMemory::compress(const ModelOutline& model, std::size_t unit,
                                   const std::vector<Setting>& settings, UnitRows rows) {
    const UnitSpec& spec = model.spec.units.at(unit);
    const std::uint64_t cols = model.spec.tensors[spec.tensors.front()].shape.back();
    const std::uint64_t elements = rows.count * cols;
    const std::uint64_t square = spec.input == Signal::token_ids ? 0 : cols * cols;
    const std::size_t all_rows = row_count(model.spec, spec);
    const auto take = [&](const SolvingBytes& bytes) {
        return bytes.of_element * elements + bytes.of_square * square;
    };
    const double share = static_cast<double>(rows.count) / static_cast<double>(all_rows);
    const auto candidates = static_cast<std::uint64_t>(
        share * static_cast<double>(candidate_bytes(model, unit, settings)));
    return std::max(take(solving_bytes(settings)) + candidates,
                    take(rows.count < all_rows ? factor_task_bytes : factoring_bytes));
}

// The embedding in fp32 and, with its product, in fp64; three bases.
std::uint64_t RankMemory::rotate() const {
    return 20 * spec_.vocab_size * spec_.hidden_size + 24 * square_;
}

// A stream; a block as it is and with its norms fused; sums over each half of the batches; a
// problem and what is found; the embedding.
RankMemory::Streamed RankMemory::rotate_in_order() const {
    return with_streams(1, 8 * block_ + 4 * grams_ + 16 * stream_grams_ + 24 * square_ +
                               4 * spec_.vocab_size * spec_.hidden_size);
}

// Two streams, a block in fp32 and fp64; sums as in refinement.
RankMemory::Streamed RankMemory::refit_slices() const {
    return with_streams(2, 12 * block_ + 60 * grams_);
}

// A Gram matrix in fp32, its factor, the inverse and what is taken from it in fp64; down twice.
std::uint64_t RankMemory::remove_neurons() const {
    const std::uint64_t n = spec_.intermediate_size;
    return 24 * n * (n + spec_.hidden_size);
}

// Two streams, a unit being compressed, a block of each model in fp32; sums over each half of the
// batches, those of what is missing in fp64, matrices of the choice of a penalty.
RankMemory::Streamed RankMemory::refine(std::uint64_t compressing) const {
    return with_streams(2, compressing + 8 * block_ + 60 * grams_);
}

// A block in fp32 and, of a batch, the inputs of all blocks, some ten more like them, a few of the
// MLP's width.
std::uint64_t RankMemory::differentiate() const {
    const std::uint64_t batch = std::max<std::uint64_t>(tokens_per_batch, length_);
    return 4 * block_ +
           4 * batch * ((spec_.n_blocks + 12) * spec_.hidden_size + 3 * spec_.intermediate_size);
}

}  // namespace lathe
