#include "orchestrator/estimate/memory_limit.hpp"
#include "orchestrator/serving.hpp"
#include "orchestrator/stages.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

/// A unit with its task, and what it costs.
struct UnitWork {
    CompressionTask compression;
    StageTask task;
    std::vector<std::string> parts;  ///< of its fingerprint
};

UnitWork work_of(const JobRun& run, std::size_t u) {
    const ModelSpec& spec = run.spec();
    const UnitSpec& unit = spec.units[u];
    UnitWork work;
    work.compression = {u, settings_of_unit(run.context(), run.source(), u), "", {}, {}};
    // The second part stands for what an artifact holds.
    work.parts = {"compress/" + unit.name, "with errors of rows"};
    for (const Setting& setting : work.compression.settings) {
        work.parts.push_back(to_string(setting));
    }
    work.task.task.stage = stage::compress;
    work.task.task.id = work.parts.front();
    work.task.task.cost =
        compression_cost(spec, unit, work.compression.settings.size(), row_count(spec, unit));
    work.task.artifact = run.run().candidates(unit.name);
    work.task.fingerprint = run.fingerprint(work.parts);
    work.compression.fingerprint = work.task.fingerprint;
    work.task.task.arguments = to_json(work.compression);
    return work;
}

StageTask piece_task(const JobRun& run, const UnitWork& work, UnitRows rows) {
    const UnitSpec& unit = run.spec().units[work.compression.unit];
    std::vector<std::string> parts = work.parts;
    parts.push_back("rows " + std::to_string(rows.first) + " " + std::to_string(rows.count));
    CompressionTask compression = work.compression;
    compression.rows = rows;
    StageTask task = work.task;
    task.task.id = work.task.task.id + "/row_" + std::to_string(rows.first);
    task.task.cost = compression_cost(run.spec(), unit, compression.settings.size(), rows.count);
    task.artifact = run.run().candidate_piece(unit.name, rows.first);
    task.fingerprint = run.fingerprint(parts);
    compression.fingerprint = task.fingerprint;
    task.task.arguments = to_json(compression);
    return task;
}

}  // namespace

void compress(JobRun& run) {
    const ModelSpec& spec = run.spec();
    std::vector<UnitWork> units;
    std::vector<std::vector<Setting>> settings;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        units.push_back(work_of(run, u));
        settings.push_back(units.back().compression.settings);
    }
    const auto cuts = compression_pieces(run.source(), settings, run.n_ranks(),
                                         memory_limit_of(run.job(), *run.context().world).bytes);
    std::vector<StageTask> tasks;
    std::vector<StageTask> joining;
    std::vector<std::filesystem::path> pieces;
    for (UnitWork& work : units) {
        const std::size_t u = work.compression.unit;
        // Also those that a run on more ranks left.
        for (const UnitRows& rows : pieces_of(spec, spec.units[u], settings[u])) {
            pieces.push_back(run.run().candidate_piece(spec.units[u].name, rows.first));
        }
        if (cuts[u].size() == 1 || run.is_done(work.task)) {
            tasks.push_back(work.task);
            continue;
        }
        for (const UnitRows& rows : cuts[u]) {
            tasks.push_back(piece_task(run, work, rows));
        }
        CompressionTask join = work.compression;
        join.pieces = cuts[u];
        work.task.task.arguments = to_json(join);
        work.task.task.cost = 0.0;
        joining.push_back(work.task);
    }
    run.run_stage(stage::compress, std::move(tasks));
    if (!joining.empty()) {
        run.run_stage(stage::compress, std::move(joining));
    }
    for (const std::filesystem::path& piece : pieces) {
        std::error_code ignored;
        std::filesystem::remove(piece, ignored);
    }
}

}  // namespace lathe
