#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/exports/exported_model.hpp"

namespace lathe {

/// Largest file of an export: a rank holds one in memory.
inline constexpr std::uint64_t default_export_shard_bytes = 2'000'000'000;

/// What an export keeps of a checkpoint.
struct ExportSummary {
    /// Compressed in the checkpoint, floating numbers in the export.
    struct DenseTensor {
        std::string name;
        std::string reason;
        std::uint64_t bytes = 0;         ///< in the export
        std::uint64_t stored_bytes = 0;  ///< in the checkpoint
    };
    std::size_t n_tensors = 0;
    std::size_t n_packed = 0;  ///< of them, with their codes
    std::vector<DenseTensor> dense;
    std::uint64_t tensor_bytes = 0;
    std::uint64_t total_bytes = 0;   ///< ExportWriter::total_bytes(), where it was asked for
    std::vector<std::string> notes;  ///< what readers must know of it, a sentence each
};

[[nodiscard]] std::string to_json(const ExportSummary& summary);

/// Writes a checkpoint in one format. Ranks make the pieces, in any order; rank 0 then writes the
/// frame, without which the directory is no model.
class ExportWriter {
public:
    virtual ~ExportWriter() = default;
    [[nodiscard]] virtual const ExportSummary& summary() const = 0;
    [[nodiscard]] virtual std::size_t n_pieces() const = 0;
    /// Tells a piece from the others of the export.
    [[nodiscard]] virtual std::string piece_name(std::size_t piece) const = 0;
    /// The file that is there once the piece is written.
    [[nodiscard]] virtual std::string piece_file(std::size_t piece) const = 0;
    /// @throws IoError, DataError
    virtual void write_piece(std::size_t piece, const std::filesystem::path& directory) const = 0;
    /// All that is no weights: configuration, index, tokenizer.
    virtual void write_frame(const std::filesystem::path& directory) const = 0;

    // What it takes, which is known of a model that is still to be made, too.

    /// Of all files that pieces and frame leave, to the byte.
    [[nodiscard]] virtual std::uint64_t total_bytes() const = 0;

    // For sums over plans. With a the writer of a model all of whose tensors are dense, and b that
    // of the same model under a plan,
    //
    //   b.total_bytes() <= a.total_bytes() - sum of a.tensor_bytes(t)
    //                      + sum of b.tensor_bytes(t) + b.settings_bytes()
    //
    // and by less than 150 bytes a tensor; in format "gguf" they are equal.

    [[nodiscard]] virtual std::uint64_t tensor_bytes(std::size_t t) const = 0;
    /// What there is once for each setting that tensors are stored under.
    [[nodiscard]] virtual std::uint64_t settings_bytes() const = 0;
};

/// A tensor as a reader of the format has it.
struct ReadTensor {
    Shape shape;  ///< [out_features, in_features] of a linear weight
    std::vector<float> values;
    /// Floating numbers of this type, to which the checkpoint's values were rounded; none: codes,
    /// which are exact.
    std::optional<DType> dense;
};

/// Reads an export back by the rules that its readers publish. Shares no layout with the writer, so
/// that a mistake in one shows.
class ExportReader {
public:
    virtual ~ExportReader() = default;
    /// What is wrong with the directory as a whole: keys, names of tensors, files beside them.
    /// Empty: nothing. `model`: what it should be.
    [[nodiscard]] virtual std::vector<std::string> problems(const ExportedModel& model) const = 0;
    /// @throws DataError  naming the tensor and what is wrong with it
    [[nodiscard]] virtual ReadTensor read(const ExportedModel& model, std::size_t tensor) const = 0;
};

/// What a format does with a unit whose tensors have certain encodings, shapes and settings.
struct UnitFate {
    enum class Kind {
        packed,   ///< its codes are kept
        dense,    ///< floating numbers
        refused,  ///< no export can be written
    };
    Kind kind = Kind::packed;
    std::string reason;  ///< of the others; "" also for what was not compressed
};

/// A format. Adding one: a pair of files that writes it, a pair that reads it back, a row in
/// export_format.cpp, its name in lib/job/export_formats.hpp, and one test.
struct ExportFormat {
    std::string_view name;
    std::string_view summary;  ///< for --help
    /// "" if models of this kind can be had in the format; else why not.
    std::string (*refuses)(const ModelSpec& spec);
    /// `headers`: of each tensor of the unit; their parts are not looked at. Null: all are dense.
    UnitFate (*unit_fate)(const ModelSpec& spec, const UnitSpec& unit,
                          std::span<const EncodedTensor> headers);
    /// Plans the export, from headers. `max_shard_bytes`: of a file with several tensors.
    /// @throws DataError  if the format cannot hold the checkpoint, naming the tensor and why
    std::unique_ptr<ExportWriter> (*writer)(std::shared_ptr<const ExportedModel> model,
                                            std::uint64_t max_shard_bytes);
    /// @throws MissingInputError, DataError  if the directory holds nothing that can be read
    std::unique_ptr<ExportReader> (*reader)(const std::filesystem::path& directory);
};

[[nodiscard]] std::span<const ExportFormat> export_format_table();

/// @throws UsageError  for a name that is none, listing the names
[[nodiscard]] const ExportFormat& find_export_format(std::string_view name);

/// The writer of `format`, after the checks that all formats have in common.
/// @throws DataError  naming the checkpoint, if the format cannot hold it
[[nodiscard]] std::unique_ptr<ExportWriter> make_export_writer(
    std::string_view format, const std::filesystem::path& checkpoint,
    std::uint64_t max_shard_bytes = default_export_shard_bytes);

/// The same of a checkpoint that is still to be made, for what it says.
[[nodiscard]] std::unique_ptr<ExportWriter> make_export_writer(
    std::string_view format, std::shared_ptr<const ExportedModel> model,
    std::uint64_t max_shard_bytes = default_export_shard_bytes);

/// The writer's summary, with total_bytes.
[[nodiscard]] ExportSummary summary_of(const ExportWriter& writer);

/// One piece of an export.
struct ExportTask {
    std::string format;
    std::filesystem::path checkpoint;
    std::filesystem::path directory;
    std::uint64_t max_shard_bytes = 0;
    std::size_t piece = 0;
};

[[nodiscard]] std::string to_json(const ExportTask& task);
[[nodiscard]] ExportTask export_task_from_json(const std::string& text);
void run_export(const ExportTask& task);

}  // namespace lathe
