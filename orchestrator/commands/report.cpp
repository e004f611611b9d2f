#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/report/page.hpp"

namespace lathe {

CommandOutput run_report(const CommandContext& context) {
    const RunDirectory run(context.line.path);
    const std::filesystem::path file =
        context.line.output.empty() ? run.page() : context.line.output;
    const report::Written written = report::write_report(run, file);
    std::string text = fmt::format("report    {}\n", file.string());
    for (const std::string& sentence : written.missing) {
        text += fmt::format("missing   {}\n", sentence);
    }
    const nlohmann::json answer{
        {"report", file.string()}, {"run", written.state}, {"missing", written.missing}};
    // The page is there and says it too; a script that named the wrong directory has to hear it.
    const int code = written.is_empty ? static_cast<int>(ExitCode::missing_input) : 0;
    if (written.is_empty) {
        text +=
            fmt::format("{} is no run directory: nothing of a run is there\n", run.root().string());
    }
    return {answer.dump(), text, code};
}

}  // namespace lathe
