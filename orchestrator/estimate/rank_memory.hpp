#pragma once

#include <cstdint>
#include <vector>

#include "lib/config/job_config.hpp"
#include "lib/job/candidate.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/candidates/unit_rows.hpp"
#include "workers/model/source_model.hpp"

namespace lathe {

/// Bytes of memory that one rank takes in each stage of a job, by what the stage's code holds at
/// once. What every process has is process_bytes and counted once.
class RankMemory {
public:
    /// `spec`: of the model that the job was given. `limit`: what a rank may use; 0: no limit.
    /// @pre  both outlive the object
    RankMemory(const ModelSpec& spec, const JobConfig& job, std::uint64_t limit);

    /// Libraries, the tokenizer, what BLAS keeps, panels of both operands of a product that threads
    /// keep: 240 to 400 MB were measured beyond what stages hold (docs/performance.md, Memory).
    static constexpr std::uint64_t process_bytes = std::uint64_t{256} << 20;

    /// A stage that streams of all samples pass.
    struct Streamed {
        std::uint64_t bytes = 0;
        /// In memory the streams would take more than the limit, so that they are in files but for
        /// the batches at work. (Not on a device, where kernels do not read them there.)
        bool in_files = false;
    };

    [[nodiscard]] Streamed calibrate() const;
    /// Of a unit, or of a piece of its rows, with candidates of all these settings.
    [[nodiscard]] static std::uint64_t compress(const ModelOutline& model, std::size_t unit,
                                                const std::vector<Setting>& settings,
                                                UnitRows rows);
    /// Eigenproblems of a stream. @pre  the job slices
    [[nodiscard]] std::uint64_t rotate() const;
    /// The same in sequential order, block after block.
    [[nodiscard]] Streamed rotate_in_order() const;
    [[nodiscard]] Streamed refit_slices() const;
    /// Neurons removed in turn, ffsplit.score `removal`.
    [[nodiscard]] std::uint64_t remove_neurons() const;
    /// `compressing`: compress() of the unit that takes most.
    [[nodiscard]] Streamed refine(std::uint64_t compressing) const;
    /// Scores from derivatives.
    [[nodiscard]] std::uint64_t differentiate() const;

    /// Elements of the Gram matrices of a block's inputs.
    [[nodiscard]] std::uint64_t grams() const { return grams_; }
    /// Of a square matrix of the hidden size.
    [[nodiscard]] std::uint64_t square() const { return square_; }
    /// Bytes of the residual stream of all samples.
    [[nodiscard]] std::uint64_t stream() const { return stream_; }

private:
    /// `n_streams` of them and `rest`.
    [[nodiscard]] Streamed with_streams(std::uint64_t n_streams, std::uint64_t rest) const;

    const ModelSpec& spec_;
    std::uint64_t limit_;
    std::uint64_t block_;  ///< weights
    std::uint64_t square_, grams_;
    std::uint64_t stream_grams_;  ///< elements of those of its streams, in jobs that slice
    std::uint64_t length_;        ///< tokens of a sample
    std::uint64_t stream_;
};

}  // namespace lathe
