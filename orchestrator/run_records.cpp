#include "orchestrator/run_records.hpp"

#include <algorithm>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::string text_in(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t count_in(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

}  // namespace

std::string to_json(const RunManifest& manifest) {
    return json{{"format_version", 1},
                {"program_version", manifest.program_version},
                {"model_fingerprint", manifest.model_fingerprint},
                {"samples_fingerprint", manifest.samples_fingerprint},
                {"instruction_set", manifest.instruction_set}}
        .dump(1);
}

RunManifest read_manifest(const fs::path& file) {
    const json stored = try_parse_json(read_file(file));
    RunManifest manifest;
    if (stored.is_object()) {
        manifest = {text_in(stored, "model_fingerprint"), text_in(stored, "samples_fingerprint"),
                    text_in(stored, "program_version"), text_in(stored, "instruction_set")};
    }
    if (manifest.model_fingerprint.empty() || manifest.samples_fingerprint.empty()) {
        throw DataError(file.string() + " is damaged; remove the run directory to begin again");
    }
    return manifest;
}

std::string to_json(const RunStatus& status) {
    return json{{"stage", status.stage},
                {"tasks_done", status.tasks_done},
                {"tasks_total", status.tasks_total},
                {"eta_seconds", status.eta_seconds},
                {"ranks", status.ranks},
                {"at_work", status.at_work},
                {"status", status.status}}
        .dump();
}

RunStatus read_status_file(const fs::path& file) {
    constexpr double longest_eta = 1e10;  // seconds; centuries are no estimate
    RunStatus status;
    std::error_code ignored;
    const json stored = fs::exists(file, ignored) ? try_parse_json(read_file(file)) : json();
    if (!stored.is_object()) {
        return status;
    }
    status.stage = text_in(stored, "stage");
    status.at_work = text_in(stored, "at_work");
    status.tasks_total = count_in(stored, "tasks_total");
    status.tasks_done = std::min(count_in(stored, "tasks_done"), status.tasks_total);
    if (const std::string state = text_in(stored, "status"); !state.empty()) {
        status.status = state;
    }
    const std::uint64_t ranks = count_in(stored, "ranks");
    status.ranks =
        ranks <= std::numeric_limits<int>::max() ? static_cast<int>(ranks) : status.ranks;
    const auto eta = stored.find("eta_seconds");
    if (eta != stored.end() && eta->is_number()) {
        const auto seconds = eta->get<double>();
        status.eta_seconds = seconds >= 0.0 && seconds <= longest_eta ? seconds : 0.0;
    }
    return status;
}

}  // namespace lathe
