#include "orchestrator/serving.hpp"
#include "orchestrator/stages.hpp"
#include "orchestrator/stages/task_lists.hpp"
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
        for (const Setting& setting : compression.settings) {
            parts.push_back(to_string(setting));
        }
        StageTask task;
        task.task.stage = stage::compress;
        task.task.id = parts.front();
        task.task.cost = compression_cost(spec, unit, compression.settings.size());
        task.artifact = run.run().candidates(unit.name);
        task.fingerprint = run.fingerprint(parts);
        compression.fingerprint = task.fingerprint;
        task.task.arguments = to_json(compression);
        tasks.push_back(std::move(task));
    }
    run.run_stage(stage::compress, std::move(tasks));
}

}  // namespace lathe
