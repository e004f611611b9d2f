#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/export_target.hpp"
#include "orchestrator/exporting.hpp"

namespace lathe {
namespace {

std::vector<std::string> read_back(const CommandContext& context, const ExportOrder& order,
                                   const ModelSpec& spec) {
    std::vector<std::string> answers;
    for (TaskResult& result :
         context.coordinator.run(export_check_tasks(order, spec, "check_export"))) {
        answers.push_back(std::move(result.text));
    }
    return export_problems(answers);
}

CommandOutput check_alone(const CommandContext& context, const ExportOrder& order) {
    const CompressedCheckpoint checkpoint(order.checkpoint);
    const auto problems = read_back(context, order, checkpoint.spec());
    CommandOutput output;
    output.json = nlohmann::json{
        {"ok", problems.empty()},
        {"tensors", checkpoint.spec().tensors.size()},
        {"problems",
         problems}}.dump();
    output.text =
        fmt::format("{}: {} tensors of {} compared\n", problems.empty() ? "ok" : "differs",
                    checkpoint.spec().tensors.size(), order.directory.string());
    for (const std::string& problem : problems) {
        output.text += "  " + problem + "\n";
    }
    output.exit_code = problems.empty() ? 0 : static_cast<int>(ExitCode::bad_data);
    return output;
}

}  // namespace

CommandOutput run_export_command(const CommandContext& context) {
    const ExportOrder order{context.line.format, std::filesystem::absolute(context.line.path),
                            std::filesystem::absolute(context.line.output)};
    if (context.line.check) {
        return check_alone(context, order);
    }
    const CompressedCheckpoint checkpoint(order.checkpoint);
    const auto writer = make_export_writer(order.format, order.checkpoint);
    prepare_export_target(checkpoint, order.directory, context.line.overwrite);
    context.coordinator.run(export_tasks(order, *writer, "export"));
    writer->write_frame(order.directory);
    require_no_problems(order, read_back(context, order, checkpoint.spec()));
    finish_export_target(order.directory);
    nlohmann::json json = export_json(order.directory, summary_of(*writer));
    json["shards"] = writer->n_pieces();
    return {json.dump(), export_text(order.directory, summary_of(*writer)), 0};
}

}  // namespace lathe
