#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "workers/checkpoint/verification.hpp"

namespace lathe {

CommandOutput run_verify(const CommandContext& context) {
    const Verification found = verify_checkpoint(context.line.path);
    CommandOutput output;
    output.json = nlohmann::json{{"ok", found.ok()},
                                 {"tensors", found.tensors},
                                 {"corrupt", found.corrupt},
                                 {"missing", found.missing},
                                 {"checkpoint_hash", found.checkpoint_hash}}
                      .dump();
    output.text =
        fmt::format("{}: {} tensors read back\n", found.ok() ? "ok" : "damaged", found.tensors);
    for (const std::string& name : found.corrupt) {
        output.text += "corrupt: " + name + "\n";
    }
    for (const std::string& name : found.missing) {
        output.text += "missing: " + name + "\n";
    }
    if (!found.ok()) {
        output.exit_code = static_cast<int>(ExitCode::bad_data);
    }
    return output;
}

}  // namespace lathe
