#include "lib/core/errors.hpp"
#include "orchestrator/search/scores.hpp"
#include "orchestrator/stages/gradient_tasks.hpp"
#include "workers/calibration/output_gradients.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

/// One task a batch. Returns their number.
std::size_t run_gradient_tasks(JobRun& run) {
    const TokenSequences& all = run.samples().calibration;
    std::vector<StageTask> tasks = gradient_tasks(
        stage::gradients, run.context(), all.part(all.ranges(gradient_tokens).front()),
        [&](const std::vector<std::string>& parts) { return run.fingerprint(parts); },
        [&](std::size_t part) { return run.run().gradients(part); });
    const std::size_t n_parts = tasks.size();
    run.run_stage(stage::gradients, std::move(tasks));
    return n_parts;
}

double weighted_error(std::span<const double> errors, std::span<const double> sensitivities,
                      const std::string& where) {
    if (!errors.empty() && errors.size() != sensitivities.size()) {
        throw DataError(where + ": " + std::to_string(errors.size()) +
                        " output errors for a unit of " + std::to_string(sensitivities.size()) +
                        " outputs");
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < errors.size(); ++i) {
        sum += errors[i] * sensitivities[i];
    }
    return sum / 2.0;
}

}  // namespace

CandidateScores gradient_weighted_errors(JobRun& run, const CandidateTable& table) {
    const OutputSquares sensitivities =
        read_output_sensitivities(run.run(), run.spec(), run_gradient_tasks(run));
    CandidateScores scores;
    for (std::size_t u = 0; u < run.spec().units.size(); ++u) {
        const UnitSpec& unit = run.spec().units[u];
        std::vector<double> of_unit;
        for (const std::size_t t : unit.tensors) {
            of_unit.insert(of_unit.end(), sensitivities[t].begin(), sensitivities[t].end());
        }
        const auto file = run.run().candidates(unit.name);
        std::vector<double>& own = scores.emplace_back();
        for (const std::vector<double>& errors : read_output_errors(file)) {
            own.push_back(weighted_error(errors, of_unit, file.string()));
        }
    }
    const std::size_t kept = run.spec().units.size();
    scores.push_back(std::move(measured_divergences(run, table, kept).back()));
    return scores;
}

}  // namespace lathe
