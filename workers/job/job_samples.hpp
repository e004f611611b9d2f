#pragma once

#include <filesystem>
#include <string>

#include "lib/config/job_config.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/tokenizer/tokenizer.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// The samples a job works on; made by rank 0 from texts, read by all ranks from one file. For a
/// language model windows of equal length, for a classifier single texts.
struct JobSamples {
    TokenSequences calibration;
    TokenSequences evaluation;  ///< of the search
};

/// @throws MissingInputError, DataError  text absent, malformed or too short
[[nodiscard]] JobSamples make_samples(const JobConfig& job, const ModelSpec& spec,
                                      const Tokenizer* tokenizer);
void write_samples(const JobSamples& samples, const std::filesystem::path& file,
                   const std::string& fingerprint);
[[nodiscard]] JobSamples read_samples(const std::filesystem::path& file);

}  // namespace lathe
