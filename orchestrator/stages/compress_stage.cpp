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

/// Operations for some of the unit's rows: the factors, and the rows.
double cost_of(const ModelSpec& spec, const CompressionTask& compression, UnitRows rows) {
    const std::size_t first = spec.units[compression.unit].tensors.front();
    const auto n = static_cast<double>(matrix_extents(spec.tensors[first].shape).second);
    return n * n * (n + static_cast<double>(rows.count * compression.settings.size()));
}

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
    work.task.task.cost = cost_of(spec, work.compression, {0, row_count(spec, unit)});
    work.task.artifact = run.run().candidates(unit.name);
    work.task.fingerprint = run.fingerprint(work.parts);
    work.compression.fingerprint = work.task.fingerprint;
    work.task.task.arguments = to_json(work.compression);
    return work;
}

StageTask piece_task(const JobRun& run, const UnitWork& work, UnitRows rows) {
    const std::string& unit = run.spec().units[work.compression.unit].name;
    std::vector<std::string> parts = work.parts;
    parts.push_back("rows " + std::to_string(rows.first) + " " + std::to_string(rows.count));
    CompressionTask compression = work.compression;
    compression.rows = rows;
    StageTask task = work.task;
    task.task.id = work.task.task.id + "/row_" + std::to_string(rows.first);
    task.task.cost = cost_of(run.spec(), compression, rows);
    task.artifact = run.run().candidate_piece(unit, rows.first);
    task.fingerprint = run.fingerprint(parts);
    compression.fingerprint = task.fingerprint;
    task.task.arguments = to_json(compression);
    return task;
}

}  // namespace

// With several ranks a unit that is a large part of all the work is cut, so that no rank waits for
// the one that has it. Candidates are the same bytes either way.
void compress(JobRun& run) {
    const ModelSpec& spec = run.spec();
    std::vector<UnitWork> units;
    double total = 0.0;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        units.push_back(work_of(run, u));
        total += units.back().task.task.cost;
    }
    const auto ranks = static_cast<double>(run.n_ranks());
    std::vector<StageTask> tasks;
    std::vector<StageTask> joining;
    std::vector<std::filesystem::path> pieces;
    for (UnitWork& work : units) {
        const UnitSpec& unit = spec.units[work.compression.unit];
        const auto cut = pieces_of(spec, unit, work.compression.settings);
        for (const UnitRows& rows : cut) {  // also those that a run on more ranks left
            pieces.push_back(run.run().candidate_piece(unit.name, rows.first));
        }
        const bool is_large = ranks > 1.0 && work.task.task.cost > total / (8.0 * ranks);
        if (cut.size() == 1 || !is_large || run.is_done(work.task)) {
            tasks.push_back(work.task);
            continue;
        }
        for (const UnitRows& rows : cut) {
            tasks.push_back(piece_task(run, work, rows));
        }
        CompressionTask join = work.compression;
        join.pieces = cut;
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
