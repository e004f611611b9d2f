#include <fmt/format.h>

#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/export_target.hpp"
#include "workers/checkpoint/hf_export.hpp"
#include "workers/task_table.hpp"

namespace lathe {

CommandOutput run_export_command(const CommandContext& context) {
    const std::filesystem::path source = std::filesystem::absolute(context.line.path);
    const std::filesystem::path target = std::filesystem::absolute(context.line.output);
    const CompressedCheckpoint checkpoint(source);
    const ExportLayout layout = export_layout(checkpoint, default_export_shard_bytes);
    prepare_export_target(checkpoint, target, context.line.overwrite);
    std::vector<Task> tasks;
    for (std::size_t s = 0; s < layout.shards.size(); ++s) {
        Task task;
        task.stage = stage::export_hf;
        task.id = "export/" + layout.file_name(s);
        task.arguments = to_json(ExportTask{source, target, default_export_shard_bytes, s});
        tasks.push_back(std::move(task));
    }
    context.coordinator.run(tasks);
    write_export_frame(checkpoint, layout, target);
    finish_export_target(target);
    return {nlohmann::json{{"export", target.string()}, {"shards", layout.shards.size()}}.dump(),
            fmt::format("{} shard(s) in {}\n", layout.shards.size(), target.string()), 0};
}

}  // namespace lathe
