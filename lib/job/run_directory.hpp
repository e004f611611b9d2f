#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace lathe {

/// Where everything lies in a run directory. Only names: nothing is opened or created here.
class RunDirectory {
public:
    RunDirectory() = default;
    explicit RunDirectory(std::filesystem::path root) : root_(std::move(root)) {}

    [[nodiscard]] const std::filesystem::path& root() const { return root_; }
    [[nodiscard]] std::filesystem::path job() const { return root_ / "job.yaml"; }
    [[nodiscard]] std::filesystem::path manifest() const { return root_ / "manifest.json"; }
    /// The files of the source model as the run found them.
    [[nodiscard]] std::filesystem::path sources() const { return root_ / "sources.json"; }
    [[nodiscard]] std::filesystem::path journal() const { return root_ / "journal.jsonl"; }
    /// Which tasks were handed out together, and when (orchestrator/run_schedule.hpp).
    [[nodiscard]] std::filesystem::path schedule() const { return root_ / "schedule.jsonl"; }
    [[nodiscard]] std::filesystem::path lock() const { return root_ / "lock"; }
    [[nodiscard]] std::filesystem::path status() const { return root_ / "status.json"; }
    /// What was submitted to a batch system: scripts, job ids.
    [[nodiscard]] std::filesystem::path batch() const { return root_ / "slurm"; }
    [[nodiscard]] std::filesystem::path logs() const { return root_ / "logs"; }
    [[nodiscard]] std::filesystem::path log(int rank) const {
        const std::string digits = std::to_string(rank);
        return logs() / ("rank_" + std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') +
                         digits + ".log");
    }
    [[nodiscard]] std::filesystem::path report() const { return root_ / "report.json"; }
    /// The same and more for people: a page (orchestrator/report).
    [[nodiscard]] std::filesystem::path page() const { return root_ / "report.html"; }
    /// Sums over each window of the texts it was evaluated on: a JSON array, an object a text.
    [[nodiscard]] std::filesystem::path windows() const { return root_ / "windows.json"; }

    /// Where an artifact is put that is not as it was written, away from those that are read or
    /// counted. @pre  `artifact` lies in the run directory
    [[nodiscard]] std::filesystem::path damaged(const std::filesystem::path& artifact) const {
        return root_ / "damaged" / (artifact.lexically_relative(root_).string() + ".damaged");
    }

    /// Token ids of the calibration and the evaluation samples.
    [[nodiscard]] std::filesystem::path samples() const { return root_ / "calibration/samples.h5"; }
    /// `name`: "block_0003", "head". `sweep`: with slicing, how often the model was passed before
    /// with streams cut by the rotations found so far.
    [[nodiscard]] std::filesystem::path statistics(const std::string& name,
                                                   std::size_t sweep = 0) const {
        return calibration(sweep) / (name + ".h5");
    }
    [[nodiscard]] std::filesystem::path calibration(std::size_t sweep = 0) const {
        const auto folder = root_ / "calibration";
        return sweep == 0 ? folder : folder / ("sweep_" + std::to_string(sweep));
    }
    /// Rotations of the residual stream at a block's boundaries, at the end ("head"), or one for
    /// all ("global").
    [[nodiscard]] std::filesystem::path rotation(const std::string& name,
                                                 std::size_t sweep = 0) const {
        return root_ / "rotation" / ("sweep_" + std::to_string(sweep)) / (name + ".h5");
    }
    /// What refitting the cut model found for a block, or for the end ("head").
    [[nodiscard]] std::filesystem::path slice_fit(const std::string& name) const {
        return root_ / "rotation" / "fit" / (name + ".h5");
    }
    /// The sliced model, a model directory.
    [[nodiscard]] std::filesystem::path sliced() const { return root_ / "sliced"; }
    /// The order of the neurons of a block's feed-forward layer: of all blocks, and of one.
    [[nodiscard]] std::filesystem::path neurons() const { return root_ / "neurons"; }
    [[nodiscard]] std::filesystem::path neurons(const std::string& name) const {
        return neurons() / (name + ".h5");
    }
    /// The residual stream entering a block, kept now and then so that a restart need not begin at
    /// the first block.
    [[nodiscard]] std::filesystem::path stream(std::size_t block, std::size_t sweep = 0) const {
        return calibration(sweep) / ("stream_" + std::to_string(block) + ".h5");
    }
    /// A batch of that stream on its way to the block, if streams go by files.
    [[nodiscard]] std::filesystem::path passing_streams(std::size_t sweep = 0) const {
        return calibration(sweep) / "passing";
    }
    [[nodiscard]] std::filesystem::path passing_stream(std::size_t block, std::size_t batch,
                                                       std::size_t sweep = 0) const {
        return passing_streams(sweep) / (std::to_string(block) + "_" + std::to_string(batch));
    }
    /// The streams of a chain of tasks, likewise: all of them, those before a block, and of a part
    /// of the samples. `chain` is the fingerprint of the streams.
    [[nodiscard]] std::filesystem::path chain_streams(const std::string& chain) const {
        return root_ / "streams" / chain;
    }
    [[nodiscard]] std::filesystem::path chain_streams(const std::string& chain,
                                                      std::size_t block) const {
        return chain_streams(chain) / std::to_string(block);
    }
    [[nodiscard]] std::filesystem::path chain_streams(const std::string& chain, std::size_t block,
                                                      std::size_t part) const {
        return chain_streams(chain, block) / ("part_" + std::to_string(part) + ".h5");
    }
    /// Second moments of the loss's derivatives by the units' outputs, over a part of the samples.
    [[nodiscard]] std::filesystem::path gradients(std::size_t part) const {
        return root_ / "gradients" / ("part_" + std::to_string(part) + ".h5");
    }
    /// What the tokens of a batch of calibration samples count in statistics.
    [[nodiscard]] std::filesystem::path token_weights(std::size_t part) const {
        return root_ / "token_weights" / ("part_" + std::to_string(part) + ".h5");
    }
    [[nodiscard]] std::filesystem::path candidates(const std::string& unit) const {
        return root_ / "candidates" / (unit + ".h5");
    }
    /// Candidates of a piece of the rows of a unit, until they are joined.
    [[nodiscard]] std::filesystem::path candidate_piece(const std::string& unit,
                                                        std::size_t first_row) const {
        return root_ / "candidates" / (unit + ".row_" + std::to_string(first_row) + ".h5");
    }
    /// A factor of the Gram matrix of a unit that is cut into pieces, named by what it is for,
    /// until its candidates are joined.
    [[nodiscard]] std::filesystem::path unit_factor(const std::string& unit,
                                                    const std::string& use) const {
        return root_ / "candidates" / (unit + ".factor_" + use + ".h5");
    }
    /// What refinement made of one block of a plan, "block_0003", or of its "head". `plan` names
    /// the plan and how it was refined.
    [[nodiscard]] std::filesystem::path refined(const std::string& plan,
                                                const std::string& place) const {
        return root_ / "refined" / plan / (place + ".h5");
    }
    /// Final hidden states of the source model on some samples, named by their hash.
    [[nodiscard]] std::filesystem::path reference(const std::string& samples) const {
        return root_ / "search" / ("reference_" + samples + ".h5");
    }
    /// Kernel times that a search measured.
    [[nodiscard]] std::filesystem::path kernel_times() const {
        return root_ / "search" / "kernel_times.json";
    }
    [[nodiscard]] std::filesystem::path search() const { return root_ / "search"; }
    /// The plan of the job's own budget, or of another one (`budget` as text, "3x").
    [[nodiscard]] std::filesystem::path plan(const std::string& budget = "") const {
        return search() / (budget.empty() ? "plan.json" : "plan_" + budget + ".json");
    }
    /// The result of refining that plan.
    [[nodiscard]] std::filesystem::path refinement(const std::string& budget = "") const {
        return search() / (budget.empty() ? "refine.json" : "refine_" + budget + ".json");
    }
    [[nodiscard]] std::filesystem::path checkpoint(const std::string& budget = "") const {
        return root_ / (budget.empty() ? "checkpoint" : "checkpoint_" + budget);
    }
    /// An export: "export" for format "hf", "export-FORMAT" for others.
    [[nodiscard]] std::filesystem::path exported(const std::string& format) const {
        return root_ / (format == "hf" ? "export" : "export-" + format);
    }

private:
    std::filesystem::path root_;
};

/// "block_0003".
[[nodiscard]] inline std::string block_name(std::size_t block) {
    const std::string digits = std::to_string(block);
    return "block_" + std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits;
}

/// The same, or "head" for what follows the blocks: the number of blocks, or none.
[[nodiscard]] inline std::string place_name(std::optional<std::size_t> block,
                                            std::size_t n_blocks) {
    return block && *block < n_blocks ? block_name(*block) : "head";
}

}  // namespace lathe
