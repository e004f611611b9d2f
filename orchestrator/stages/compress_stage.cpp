#include "orchestrator/serving.hpp"
#include "orchestrator/stages.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/task_table.hpp"

namespace lathe {

void compress(JobRun& run) {
    const ModelSpec& spec = run.spec();
    std::vector<StageTask> tasks;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const UnitSpec& unit = spec.units[u];
        CompressionTask compression{u, settings_of_unit(run.context(), run.source(), u), ""};
        // The second part stands for what an artifact holds.
        std::vector<std::string> parts{"compress/" + unit.name, "with output_errors"};
        double cost = 0.0;
        for (const Setting& setting : compression.settings) {
            parts.push_back(to_string(setting));
        }
        for (std::size_t t : unit.tensors) {
            const auto [rows, cols] = matrix_extents(spec.tensors[t].shape);
            const auto n = static_cast<double>(cols);
            cost += n * n * (n + static_cast<double>(rows * compression.settings.size()));
        }
        StageTask task;
        task.task.stage = stage::compress;
        task.task.id = parts.front();
        task.task.cost = cost;
        task.artifact = run.run().candidates(unit.name);
        task.fingerprint = run.fingerprint(parts);
        compression.fingerprint = task.fingerprint;
        task.task.arguments = to_json(compression);
        tasks.push_back(std::move(task));
    }
    run.run_stage(stage::compress, std::move(tasks));
}

}  // namespace lathe
