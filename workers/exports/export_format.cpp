#include "workers/exports/export_format.hpp"

#include <algorithm>
#include <array>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/job/export_formats.hpp"
#include "workers/exports/compressed_tensors.hpp"
#include "workers/exports/compressed_tensors_form.hpp"
#include "workers/exports/compressed_tensors_reader.hpp"
#include "workers/exports/gguf/reader.hpp"
#include "workers/exports/gguf/writer.hpp"
#include "workers/exports/hf.hpp"
#include "workers/exports/hf_reader.hpp"
#include "workers/exports/mlx.hpp"
#include "workers/exports/mlx_reader.hpp"

namespace lathe {
namespace {

constexpr std::array table{
    ExportFormat{"hf", "a dequantised Hugging Face directory", hf_refuses, nullptr, make_hf_writer,
                 make_hf_reader},
    ExportFormat{"compressed-tensors", "packed codes for vLLM and transformers",
                 compressed_tensors_refuses, compressed_tensors_unit_fate,
                 make_compressed_tensors_writer, make_compressed_tensors_reader},
    ExportFormat{"gguf", "one file for llama.cpp", gguf_refuses, gguf_unit_fate, make_gguf_writer,
                 make_gguf_reader},
    ExportFormat{"mlx", "packed codes for mlx-lm", mlx_refuses, mlx_unit_fate, make_mlx_writer,
                 make_mlx_reader},
};

static_assert(std::ranges::equal(table, export_format_names, {}, &ExportFormat::name));

}  // namespace

std::span<const ExportFormat> export_format_table() {
    return table;
}

const ExportFormat& find_export_format(std::string_view name) {
    const auto* const row = std::ranges::find(table, name, &ExportFormat::name);
    if (row == table.end()) {
        throw UsageError("unknown export format \"" + std::string(name) +
                         "\"; known: " + list_export_formats());
    }
    return *row;
}

std::unique_ptr<ExportWriter> make_export_writer(std::string_view format,
                                                 const std::filesystem::path& checkpoint,
                                                 std::uint64_t max_shard_bytes) {
    auto writer = make_export_writer(format, std::make_shared<const ExportedModel>(checkpoint),
                                     max_shard_bytes);
    (void)writer->total_bytes();  // refuses a tokenizer before anything is written
    return writer;
}

std::unique_ptr<ExportWriter> make_export_writer(std::string_view format,
                                                 std::shared_ptr<const ExportedModel> model,
                                                 std::uint64_t max_shard_bytes) {
    const ExportFormat& row = find_export_format(format);
    if (const std::string reason = row.refuses(model->spec()); !reason.empty()) {
        throw DataError(model->directory().string() + ": cannot be exported as " +
                        std::string(row.name) + ": " + reason);
    }
    return row.writer(std::move(model), max_shard_bytes);
}

ExportSummary summary_of(const ExportWriter& writer) {
    ExportSummary summary = writer.summary();
    summary.total_bytes = writer.total_bytes();
    return summary;
}

std::string to_json(const ExportSummary& summary) {
    nlohmann::json dense = nlohmann::json::array();
    for (const ExportSummary::DenseTensor& tensor : summary.dense) {
        dense.push_back({{"name", tensor.name},
                         {"reason", tensor.reason},
                         {"bytes", tensor.bytes},
                         {"stored_bytes", tensor.stored_bytes}});
    }
    return nlohmann::json{{"tensors", summary.n_tensors},
                          {"packed", summary.n_packed},
                          {"tensor_bytes", summary.tensor_bytes},
                          {"bytes", summary.total_bytes},
                          {"dense", dense},
                          {"notes", summary.notes}}
        .dump();
}

std::string to_json(const ExportTask& task) {
    return nlohmann::json{{"format", task.format},
                          {"checkpoint", task.checkpoint.string()},
                          {"directory", task.directory.string()},
                          {"max_shard_bytes", task.max_shard_bytes},
                          {"piece", task.piece}}
        .dump();
}

ExportTask export_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("format").get<std::string>(), json.at("checkpoint").get<std::string>(),
            json.at("directory").get<std::string>(), json.at("max_shard_bytes"), json.at("piece")};
}

void run_export(const ExportTask& task) {
    make_export_writer(task.format, task.checkpoint, task.max_shard_bytes)
        ->write_piece(task.piece, task.directory);
}

}  // namespace lathe
