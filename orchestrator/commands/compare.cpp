#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/report/comparison.hpp"

namespace lathe {

CommandOutput run_compare(const CommandContext& context) {
    std::vector<report::RunFacts> runs;
    for (const std::filesystem::path& path : context.line.runs) {
        runs.push_back(report::read_run_facts(RunDirectory(path)));
        if (runs.back().is_empty()) {
            throw MissingInputError(path.string() +
                                    " is no run directory: nothing of a run is there");
        }
    }
    const std::vector<report::ComparedRun> compared = report::compare_runs(runs);
    std::string text = report::to_text(compared);
    for (std::size_t r = 0; r < runs.size(); ++r) {
        for (const std::string& sentence : runs[r].missing) {
            text += fmt::format("missing  {}: {}\n", compared[r].name, sentence);
        }
    }
    nlohmann::json answer{{"runs", report::to_json(compared)}};
    if (!context.line.output.empty()) {
        write_file(context.line.output, report::comparison_html(runs));
        text += fmt::format("page     {}\n", context.line.output.string());
        answer["page"] = context.line.output.string();
    }
    return {answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), text, 0};
}

}  // namespace lathe
