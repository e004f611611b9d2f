#include "orchestrator/estimate/job_work.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "orchestrator/estimate/compression_work.hpp"
#include "orchestrator/estimate/job_sizes.hpp"
#include "orchestrator/estimate/model_sums.hpp"
#include "orchestrator/estimate/rank_memory.hpp"
#include "orchestrator/estimate/search_work.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/calibration/output_gradients.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/chain/sample_share.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

class JobList {
public:
    JobList(const JobOutline& outline, int n_ranks)
        : sizes_(outline, n_ranks),
          memory_(sizes_.spec, sizes_.job, sizes_.job.runtime.memory_limit),
          search_(sizes_, calls_) {}

    std::vector<WorkCall> list() {
        if (sizes_.job.calibration.weighting == CalibrationConfig::Weighting::loss) {
            go_back(stage::weigh_tokens, sizes_.tokens);
        }
        calibrate();
        compress();
        if (sizes_.job.search.scores != SearchConfig::Scores::divergence) {
            go_back(stage::gradients,
                    std::min(sizes_.tokens, static_cast<double>(gradient_tokens)));
        }
        search_.search();
        if (sizes_.job.refine != RefineMode::none) {
            refine();
        }
        assemble();
        evaluate();
        if (!sizes_.job.exports.empty()) {
            export_formats();
        }
        return std::move(calls_);
    }

private:
    /// Of a block's weights as they are stored.
    [[nodiscard]] std::uint64_t block_bytes_twice() const {
        return static_cast<std::uint64_t>(2 * sizes_.block_weights * sizes_.bytes_of_element());
    }
    [[nodiscard]] static double with_process(std::uint64_t bytes) {
        return static_cast<double>(bytes + RankMemory::process_bytes);
    }
    WorkCall& add(const char* stage, std::uint64_t rank_bytes) {
        calls_.push_back(sizes_.call(stage, with_process(rank_bytes)));
        return calls_.back();
    }

    void calibrate() {
        WorkCall& call = add("calibrate", memory_.calibrate().bytes);
        call.is_pipeline = true;
        const auto batches = ranges_of(sizes_.job.calibration.num_calibration_samples,
                                       sizes_.length, tokens_per_batch);
        call.batches = batches.size();
        call.message_bytes = 4.0 * static_cast<double>(batches.front()) * sizes_.hidden;
        for (std::size_t b = 0; b <= sizes_.spec.n_blocks; ++b) {
            const bool is_head = b == sizes_.spec.n_blocks;
            Work work;
            work.forward = is_head ? 0.0 : sizes_.tokens * sizes_.block_flops;
            work.gram = sizes_.tokens * (is_head ? sizes_.hidden * sizes_.hidden : sizes_.grams);
            work.read = is_head ? 0.0 : sizes_.block_weights * sizes_.bytes_of_element();
            work.written = 4.0 * (is_head ? sizes_.hidden * sizes_.hidden : sizes_.grams);
            call.tasks.push_back(task_of(
                stage::calibrate, "calibrate/" + place_name(b, sizes_.spec.n_blocks), 1.0, work));
        }
    }

    void compress() {
        std::uint64_t rank_bytes = 0;
        WorkCall call = sizes_.call("compress", 0);
        const auto cuts = compression_pieces(sizes_.outline.model, sizes_.outline.settings,
                                             sizes_.n_ranks, sizes_.job.runtime.memory_limit);
        for (std::size_t u = 0; u < sizes_.spec.units.size(); ++u) {
            for (const UnitRows& rows : cuts[u]) {
                rank_bytes =
                    std::max(rank_bytes, RankMemory::compress(sizes_.outline.model, u,
                                                              sizes_.outline.settings[u], rows));
            }
            std::ranges::move(compression_work(sizes_, u, cuts[u]), std::back_inserter(call.tasks));
        }
        call.rank_bytes = with_process(rank_bytes);
        calls_.push_back(std::move(call));
    }

    /// Forwards, each block once more, and backwards by inputs alone: four times a pass.
    void go_back(const char* name, double part) {
        WorkCall& call = add(name, memory_.differentiate());
        const auto n = static_cast<std::size_t>(
            std::ceil(part / static_cast<double>(std::max(sizes_.length, tokens_per_batch))));
        for (std::size_t b = 0; b < n; ++b) {
            Work work;
            work.forward = part / static_cast<double>(n) * 4.0 *
                           forward_flops(sizes_.spec, static_cast<double>(sizes_.length), true);
            work.reread = 2.0 * sizes_.source_bytes;
            call.tasks.push_back(task_of(name, fmt::format("{}/{}", name, b), 1.0, work));
        }
    }

    void refine() {
        std::uint64_t compressing = 0;
        for (std::size_t u = 0; u < sizes_.spec.units.size(); ++u) {
            const UnitRows all{0, row_count(sizes_.spec, sizes_.spec.units[u])};
            compressing = std::max(
                compressing,
                RankMemory::compress(sizes_.outline.model, u, sizes_.outline.settings[u], all));
        }
        WorkCall& call = add("refine", memory_.refine(compressing).bytes);
        call.parts = SampleShare::n_parts(
            sequences(sizes_.job.calibration.num_calibration_samples, sizes_.length));
        call.message_bytes = 8.0 * 2.0 * sizes_.grams;
        std::vector<double> solvers(sizes_.spec.n_blocks + 1, 0.0);
        for (std::size_t u = 0; u < sizes_.spec.units.size(); ++u) {
            solvers[sizes_.block_of(u)] += sizes_.solver_flops(u).second;
        }
        for (std::size_t b = 0; b <= sizes_.spec.n_blocks; ++b) {
            const bool is_head = b == sizes_.spec.n_blocks;
            // Two streams, each three times through a step; Gram matrices of two inputs.
            Work work;
            work.forward = is_head ? 0.0 : 6.0 * sizes_.tokens * sizes_.block_flops;
            work.gram =
                2.0 * sizes_.tokens * (is_head ? sizes_.hidden * sizes_.hidden : sizes_.grams);
            WorkTask task =
                task_of(stage::refine, "refine/" + place_name(b, sizes_.spec.n_blocks), 1.0, work);
            task.task.rank = all_ranks;
            task.repeated.solve = solvers[b];
            task.repeated.reread =
                is_head ? 0.0 : 2.0 * sizes_.block_weights * sizes_.bytes_of_element();
            call.tasks.push_back(std::move(task));
        }
        search_.measure("refined", 1);
    }

    void assemble() {
        WorkCall& call = add("assemble", block_bytes_twice());
        for (std::size_t b = 0; b <= sizes_.spec.n_blocks; ++b) {
            Work work;
            work.read = sizes_.plan_bytes / (sizes_.n_blocks + 1.0);
            work.written = work.read;
            call.tasks.push_back(task_of(
                stage::assemble, "assemble/" + place_name(b, sizes_.spec.n_blocks), 1.0, work));
        }
        add("verify", block_bytes_twice()).alone.read = sizes_.plan_bytes;
    }

    void evaluate() {
        if (sizes_.outline.evaluated_tokens == 0) {
            return;
        }
        WorkCall& call = add("evaluate", static_cast<std::uint64_t>(sizes_.search_bytes()));
        const auto chunks = ranges_of(static_cast<std::size_t>(std::ceil(
                                          static_cast<double>(sizes_.outline.evaluated_tokens) /
                                          static_cast<double>(sizes_.length))),
                                      sizes_.length, tokens_per_evaluation_task);
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            const auto tokens = static_cast<double>(chunks[c]);
            Work work;  // of source and checkpoint
            work.forward =
                2.0 * tokens * forward_flops(sizes_.spec, static_cast<double>(sizes_.length), true);
            work.reread = sizes_.source_bytes + sizes_.plan_bytes;
            call.tasks.push_back(
                task_of(stage::evaluate, fmt::format("evaluate/{}", c), tokens, work));
        }
    }

    void export_formats() {
        for (const std::string& format : sizes_.job.exports) {
            const double bytes = format == "hf" ? sizes_.source_bytes : sizes_.plan_bytes;
            for (const bool checks : {false, true}) {
                WorkCall& call = add("export", block_bytes_twice());
                for (std::size_t b = 0; b <= sizes_.spec.n_blocks; ++b) {
                    Work work;
                    work.read =
                        (sizes_.plan_bytes + (checks ? bytes : 0.0)) / (sizes_.n_blocks + 1.0);
                    work.written = checks ? 0.0 : bytes / (sizes_.n_blocks + 1.0);
                    call.tasks.push_back(
                        task_of(checks ? stage::check_export : stage::export_piece,
                                fmt::format("{}_{}/{}", checks ? "check" : "export", format, b),
                                1.0, work));
                }
            }
        }
    }

    JobSizes sizes_;
    RankMemory memory_;
    std::vector<WorkCall> calls_;
    SearchWork search_;
};

/// A part of the work, and the figure that limits it.
struct Share {
    double seconds = 0.0;
    Certainty certainty = Certainty::measured;
};

std::array<Share, 6> shares_of(const Work& work, const ClusterConfig& cluster, double working_set) {
    const auto devices = static_cast<double>(cluster.devices_per_node);
    const auto share = [](double amount, const ClusterFigure& figure, double sharing) {
        return Share{amount * sharing / figure.value, figure.certainty};
    };
    const bool remembers = static_cast<double>(cluster.cache) >= working_set && cluster.cache > 0;
    const ClusterFigure& again = remembers ? cluster.cached : cluster.read;
    return {share(work.forward, cluster.forward, 1.0), share(work.gram, cluster.gram, 1.0),
            share(work.solve, cluster.solve, 1.0),     share(work.read, cluster.read, devices),
            share(work.reread, again, devices),        share(work.written, cluster.write, devices)};
}

}  // namespace

Work& Work::operator+=(const Work& other) {
    forward += other.forward;
    gram += other.gram;
    solve += other.solve;
    read += other.read;
    reread += other.reread;
    written += other.written;
    return *this;
}

std::vector<WorkCall> list_work(const JobOutline& outline, int n_ranks) {
    return JobList(outline, n_ranks).list();
}

double seconds_of(const Work& work, const ClusterConfig& cluster, double working_set) {
    double seconds = 0.0;
    for (const Share& share : shares_of(work, cluster, working_set)) {
        seconds += share.seconds;
    }
    return seconds;
}

Certainty certainty_of(const Work& work, const ClusterConfig& cluster, double working_set) {
    const double all = seconds_of(work, cluster, working_set);
    Certainty certainty = Certainty::measured;
    for (const Share& share : shares_of(work, cluster, working_set)) {
        if (share.seconds > 0.05 * all) {
            certainty = std::max(certainty, share.certainty);
        }
    }
    return certainty;
}

}  // namespace lathe
