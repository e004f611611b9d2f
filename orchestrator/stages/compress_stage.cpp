#include <algorithm>
#include <iterator>
#include <optional>

#include "orchestrator/estimate/memory_limit.hpp"
#include "orchestrator/serving.hpp"
#include "orchestrator/stages.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

/// A unit with its task, as if it were made in one go.
struct UnitWork {
    CompressionTask compression;
    StageTask task;
    std::vector<std::string> parts;  ///< of its fingerprint
};

UnitWork work_of(const JobRun& run, std::size_t u) {
    const ModelSpec& spec = run.spec();
    const UnitSpec& unit = spec.units[u];
    UnitWork work;
    work.compression = {u, settings_of_unit(run.context(), run.source(), u), "", {}, {}, {}};
    // The second part stands for what an artifact holds.
    work.parts = {compression_id(unit), "with errors of rows"};
    for (const Setting& setting : work.compression.settings) {
        work.parts.push_back(to_string(setting));
    }
    work.task.task.stage = stage::compress;
    work.task.task.id = work.parts.front();
    work.task.task.cost = unit_cost(spec, unit, work.compression.settings.size());
    work.task.artifact = run.run().candidates(unit.name);
    work.task.fingerprint = run.fingerprint(work.parts);
    work.compression.fingerprint = work.task.fingerprint;
    work.task.task.arguments = to_json(work.compression);
    return work;
}

StageTask factor_task(const JobRun& run, std::size_t u, const UnitFactor& factor) {
    const UnitSpec& unit = run.spec().units[u];
    StageTask task;
    task.task.stage = stage::factor;
    task.task.id = factor_id(unit, factor.feedback);
    task.task.cost = factor_cost(run.spec(), unit);
    task.task.arguments = to_json(FactorTask{u, factor});
    task.artifact = run.run().unit_factor(unit.name, to_string(factor.feedback));
    task.fingerprint = factor.fingerprint;
    return task;
}

/// Of the unit's rows, with the factors that they share.
StageTask piece_task(const JobRun& run, const UnitWork& work, UnitRows rows) {
    const UnitSpec& unit = run.spec().units[work.compression.unit];
    std::vector<std::string> parts = work.parts;
    parts.push_back("rows " + std::to_string(rows.first) + " " + std::to_string(rows.count));
    CompressionTask compression = work.compression;
    compression.rows = rows;
    StageTask task = work.task;
    task.task.id = piece_id(unit, rows);
    task.task.cost = rows_cost(run.spec(), unit, compression.settings.size(), rows.count);
    for (const UnitFactor& factor : compression.factors) {
        task.task.after.push_back(factor_id(unit, factor.feedback));
    }
    task.artifact = run.run().candidate_piece(unit.name, rows.first);
    task.fingerprint = run.fingerprint(parts);
    compression.fingerprint = task.fingerprint;
    task.task.arguments = to_json(compression);
    return task;
}

/// Of a unit that is cut: its factors, if a piece still needs them, its pieces, and what joins
/// them.
void add_pieces(const JobRun& run, UnitWork work, const std::vector<UnitRows>& cuts,
                std::vector<StageTask>& tasks) {
    const std::size_t u = work.compression.unit;
    const std::optional<SharedFactors> shared = shared_factors(work.compression.settings);
    for (const ErrorFeedback& feedback : shared.value().feedbacks) {
        work.compression.factors.push_back(
            {feedback, run.fingerprint({factor_id(run.spec().units[u], feedback)})});
    }
    std::vector<StageTask> pieces;
    for (const UnitRows& rows : cuts) {
        pieces.push_back(piece_task(run, work, rows));
    }
    if (!std::ranges::all_of(pieces, [&](const StageTask& piece) { return run.is_done(piece); })) {
        for (const UnitFactor& factor : work.compression.factors) {
            tasks.push_back(factor_task(run, u, factor));
        }
    }
    for (StageTask& piece : pieces) {
        work.task.task.after.push_back(piece.task.id);
        tasks.push_back(std::move(piece));
    }
    work.compression.pieces = cuts;
    work.task.task.arguments = to_json(work.compression);
    work.task.task.cost = 0.0;
    tasks.push_back(std::move(work.task));
}

/// Files that only pieces of a unit need, those of a run on more ranks too.
std::vector<std::filesystem::path> passing_files(const JobRun& run, const UnitWork& work) {
    const UnitSpec& unit = run.spec().units[work.compression.unit];
    std::vector<std::filesystem::path> files;
    for (const UnitRows& rows : pieces_of(run.spec(), unit, work.compression.settings)) {
        files.push_back(run.run().candidate_piece(unit.name, rows.first));
    }
    if (const auto shared = shared_factors(work.compression.settings)) {
        for (const ErrorFeedback& feedback : shared->feedbacks) {
            files.push_back(run.run().unit_factor(unit.name, to_string(feedback)));
        }
    }
    return files;
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
    std::vector<std::filesystem::path> passing;
    for (UnitWork& work : units) {
        const std::size_t u = work.compression.unit;
        std::ranges::move(passing_files(run, work), std::back_inserter(passing));
        if (cuts[u].size() == 1 || run.is_done(work.task)) {
            tasks.push_back(work.task);
        } else {
            for (const UnitRows& rows : cuts[u]) {
                passing.push_back(run.run().candidate_piece(spec.units[u].name, rows.first));
            }
            add_pieces(run, std::move(work), cuts[u], tasks);
        }
    }
    run.run_stage(stage::compress, std::move(tasks));
    for (const std::filesystem::path& file : passing) {
        std::error_code ignored;
        std::filesystem::remove(file, ignored);
    }
}

}  // namespace lathe
