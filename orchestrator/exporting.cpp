#include "orchestrator/exporting.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/progress.hpp"
#include "orchestrator/serving.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/exports/export_check.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace fs = std::filesystem;

std::vector<Task> export_tasks(const ExportOrder& order, const ExportWriter& writer,
                               const std::string& name) {
    std::vector<Task> tasks;
    for (std::size_t p = 0; p < writer.n_pieces(); ++p) {
        Task task;
        task.stage = stage::export_piece;
        task.id = name + "/" + writer.piece_name(p);
        task.arguments = to_json(ExportTask{order.format, order.checkpoint, order.directory,
                                            default_export_shard_bytes, p});
        tasks.push_back(std::move(task));
    }
    return tasks;
}

std::vector<Task> export_check_tasks(const ExportOrder& order, const ModelSpec& spec,
                                     const std::string& name) {
    std::vector<Task> tasks;
    const auto add = [&](std::optional<std::size_t> block) {
        Task task;
        task.stage = stage::check_export;
        task.id = name + "/" + (block ? block_name(*block) : "outer");
        task.arguments =
            to_json(ExportCheckTask{order.format, order.checkpoint, order.directory, block});
        tasks.push_back(std::move(task));
    };
    add(std::nullopt);
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        add(b);
    }
    return tasks;
}

std::vector<std::string> export_problems(const std::vector<std::string>& answers) {
    std::vector<std::string> problems;
    for (const std::string& answer : answers) {
        for (std::string& problem : parse_json(answer).get<std::vector<std::string>>()) {
            problems.push_back(std::move(problem));
        }
    }
    return problems;
}

void require_no_problems(const ExportOrder& order, const std::vector<std::string>& problems) {
    if (!problems.empty()) {
        throw DataError(fmt::format(
            "the export in {} does not read back as {}: {}{}", order.directory.string(),
            order.format, problems.front(),
            problems.size() == 1 ? "" : fmt::format(" (and {} more)", problems.size() - 1)));
    }
}

std::string export_stamp(const fs::path& directory) {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(directory)) {
        if (entry.is_regular_file()) {
            files.push_back(fmt::format("{} {} {}", entry.path().filename().string(),
                                        entry.file_size(),
                                        entry.last_write_time().time_since_epoch().count()));
        }
    }
    std::ranges::sort(files);
    std::string all;
    for (const std::string& file : files) {
        all += file + "\n";
    }
    return to_hex(hash_text(all));
}

void require_exportable(const JobContext& context, const ModelOutline& model) {
    for (const std::string& name : context.job.exports) {
        const ExportFormat& format = find_export_format(name);
        if (const std::string reason = format.refuses(model.spec); !reason.empty()) {
            throw DataError("export: " + name + ": " + reason);
        }
        if (format.unit_fate == nullptr) {
            continue;
        }
        for (std::size_t u = 0; u < model.spec.units.size(); ++u) {
            const UnitSpec& unit = model.spec.units[u];
            for (const Setting& setting : settings_of_unit(context, model, u)) {
                const auto outlines = unit_outlines(model.spec, unit, setting);
                const UnitFate fate =
                    outlines.empty() ? UnitFate{} : format.unit_fate(model.spec, unit, outlines);
                if (fate.kind == UnitFate::Kind::refused) {
                    throw UsageError("export: " + name + ": candidate \"" + to_string(setting) +
                                     "\" of " + unit.name + ": " + fate.reason);
                }
            }
        }
    }
}

nlohmann::json export_json(const fs::path& directory, const ExportSummary& summary) {
    nlohmann::json json = parse_json(to_json(summary));
    json["export"] = directory.string();
    return json;
}

std::string export_text(const fs::path& directory, const ExportSummary& summary) {
    std::string text = fmt::format(
        "export {}: {} tensors, {}; {} with their codes; {} bytes in all\n", directory.string(),
        summary.n_tensors, bytes_text(summary.tensor_bytes), summary.n_packed, summary.total_bytes);
    struct Sum {
        std::size_t n = 0;
        std::uint64_t bytes = 0;
        std::uint64_t stored = 0;
        std::string first;
    };
    std::map<std::string, Sum> by_reason;
    for (const ExportSummary::DenseTensor& tensor : summary.dense) {
        Sum& sum = by_reason[tensor.reason];
        sum.first = sum.n == 0 ? tensor.name : sum.first;
        ++sum.n;
        sum.bytes += tensor.bytes;
        sum.stored += tensor.stored_bytes;
    }
    for (const auto& [reason, sum] : by_reason) {
        text += fmt::format("  dense: {}{}, {} in place of {}: {}\n", sum.first,
                            sum.n == 1 ? "" : fmt::format(" and {} more", sum.n - 1),
                            bytes_text(sum.bytes), bytes_text(sum.stored), reason);
    }
    for (const std::string& note : summary.notes) {
        text += "  note: " + note + "\n";
    }
    return text;
}

}  // namespace lathe
