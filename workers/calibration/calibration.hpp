#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "lib/job/task.hpp"
#include "workers/calibration/token_weights.hpp"
#include "workers/chain/chain.hpp"
#include "workers/job/job_context.hpp"
#include "workers/statistics/signal_statistics.hpp"

namespace lathe {

/// How often each token occurs in the samples, as a share of all tokens, plus one token's share
/// spread over the whole vocabulary so that none counts for nothing. [vocab_size]
[[nodiscard]] std::vector<float> token_frequencies(const TokenSequences& samples,
                                                   std::size_t vocab_size);

/// The input of a calibration task. There is one task for each block, and one, `block` = n_blocks,
/// for the head. If nobody reads the stream there (reads_stream_end()) there is none, and the last
/// block's last step is not taken.
///
/// The tasks form a pipeline: the residual stream of each batch of samples comes from rank `from`
/// (for the first task of a run: from the embedding, or from a stored stream) and goes on to rank
/// `to` as soon as the batch is through, so that ranks work on neighbouring blocks at the same
/// time. A Gram matrix is accumulated by one rank, batch after batch: the rank count does not show.
struct CalibrationTask {
    std::size_t block = 0;
    int from = -1;           ///< -1: this task begins the pipeline
    int to = -1;             ///< -1: this task ends it
    bool accumulate = true;  ///< false: the statistics are stored already, only pass the stream on
    bool stored_stream = false;  ///< with from = -1: begin from the stored stream
    /// What goes from task to task goes by files, RunDirectory::passing_stream(), and a message
    /// says that a batch is there: in memory the streams that wait would take more than a rank may
    /// use.
    bool in_files = false;
    std::string fingerprint;  ///< goes into the artifact
    /// Of the streams before this block and behind it, as they are stored.
    std::string stream_fingerprint = {};
    std::string next_stream_fingerprint = {};
    /// With slicing: the sweep's number. From the second on (1) the stream is cut at each boundary
    /// to `widths` by the rotations of the sweep before, after its statistics are taken.
    std::size_t sweep = 0;
    std::vector<std::size_t> widths;
};

[[nodiscard]] std::string to_json(const CalibrationTask& task);
[[nodiscard]] CalibrationTask calibration_task_from_json(const std::string& text);

/// Runs calibration tasks on one rank.
class Calibrator final : public StageMemory {
public:
    /// @pre  `context` outlives the object
    explicit Calibrator(const JobContext& context) : context_(context) {}

    /// Runs one task; its artifact is RunDirectory::statistics() of the block.
    /// @throws DataError  weights or activations that are not finite, naming the place
    /// @throws StoppedError  if the task before it in the pipeline failed
    void run(const CalibrationTask& task);

private:
    class Stream;
    /// Whether nobody reads what comes out of the block, whose last step is left out.
    [[nodiscard]] bool is_cut_short(std::size_t block) const;
    /// All batches pass the block; its statistics are written.
    void pass(const CalibrationTask& task, Stream& stream) const;
    [[nodiscard]] TokenWeights weights_of_tokens(const CalibrationTask& task,
                                                 std::size_t n_batches) const;

    const JobContext& context_;
    StorePace pace_;
    StorePace::Seconds last_task_{0};  ///< how long it took
};

}  // namespace lathe
