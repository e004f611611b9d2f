#include "orchestrator/commands.hpp"

#include <map>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe {

std::string error_json(const std::string& status, int exit_code, const std::string& message) {
    // A message may quote a file.
    return nlohmann::json{{"status", status}, {"exit_code", exit_code}, {"error", message}}.dump(
        -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ModelToRun open_model(const CommandLine& line, LookupTables tables) {
    ModelToRun model(line.path, line.reading, tables);
    KnownNames known;
    model.add_names(known);
    if (!line.reference.empty()) {
        const ModelToRun reference(line.reference, line.reading);
        reference.add_names(known);
        require_same_outputs(model.spec(), reference.spec(), line.reference.string());
    }
    known.require(line.reading.ignore, "--ignore");
    return model;
}

CommandOutput run_command(const CommandContext& context) {
    static const std::map<std::string, CommandOutput (*)(const CommandContext&)> table{
        {"plan", run_plan},         {"run", run_run},       {"resume", run_run},
        {"status", run_status},     {"search", run_search}, {"inspect", run_inspect},
        {"verify", run_verify},     {"eval", run_eval},     {"export", run_export_command},
        {"generate", run_generate}, {"submit", run_submit}, {"cancel", run_cancel},
        {"simulate", run_simulate}, {"report", run_report}, {"compare", run_compare},
    };
    return table.at(context.line.command)(context);
}

}  // namespace lathe
