#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "lib/config/job_config.hpp"
#include "lib/model/name_patterns.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"
#include "workers/model/source_model.hpp"

namespace lathe {

/// A model to run, whatever it is stored in: a Hugging Face directory or a compressed checkpoint.
class ModelToRun {
public:
    /// `tables`: of a compressed checkpoint's products. @throws MissingInputError, DataError
    explicit ModelToRun(const std::filesystem::path& directory, const ModelReading& reading = {},
                        LookupTables tables = LookupTables::fp32);
    [[nodiscard]] const ModelSpec& spec() const;
    [[nodiscard]] const WeightSource& weights() const { return *weights_; }
    /// Adds what may be named in it.
    void add_names(KnownNames& names) const;
    /// Bytes of the files its weights are read from.
    [[nodiscard]] std::uint64_t weight_bytes() const;

private:
    std::unique_ptr<SourceModel> source_;
    std::unique_ptr<CompressedCheckpoint> compressed_;
    std::unique_ptr<WeightSource> weights_;
};

[[nodiscard]] std::string to_json(const ModelReading& reading);
[[nodiscard]] ModelReading model_reading_from_json(const std::string& text);

/// @throws DataError  beginning with `where`, if the two do not answer with the same outputs
void require_same_outputs(const ModelSpec& model, const ModelSpec& reference,
                          const std::string& where);

}  // namespace lathe
