#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "workers/job/job_context.hpp"

namespace lathe {

/// The config.json to plan by: a .json file that is named itself, or that of a directory with
/// nothing in it that could be weights; none for all else.
[[nodiscard]] std::optional<std::filesystem::path> config_without_weights(
    const std::filesystem::path& model);

/// A model of which there is a config.json and nothing else.
struct ConfigOutline {
    ModelSpec spec;
    DType dtype = DType::f32;          ///< that of the weights, as the file says
    std::vector<std::string> notes;    ///< where its word was not enough
    std::vector<std::string> refused;  ///< what a run would refuse
};
/// @throws DataError, MissingInputError, IoError
[[nodiscard]] ConfigOutline read_config_outline(const std::filesystem::path& config);

/// What is known of a job without its weights and texts: enough to list its tasks.
struct JobOutline {
    JobConfig job;  ///< with candidates
    ModelOutline model;
    std::vector<std::vector<Setting>> settings;  ///< that each unit may have
    std::size_t n_settings = 0;                  ///< distinct ones
    std::uint64_t source_bytes = 0;
    std::uint64_t evaluated_tokens =
        0;  ///< of the texts and tasks at the end; 0: none, or not known

    [[nodiscard]] const ModelSpec& spec() const { return model.spec; }
    /// Tokens of a sample, at most.
    [[nodiscard]] std::size_t length() const;
    [[nodiscard]] std::uint64_t budget_bytes() const;
};
/// Reads the headers of job.model, or its config.json if that is all there is.
/// @throws UsageError  for a job that slices or orders neurons: these stages are not listed
/// @throws DataError, MissingInputError
[[nodiscard]] JobOutline outline_job(JobConfig job);

}  // namespace lathe
