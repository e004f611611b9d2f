#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// What refitting (workers/slicing/slice_refit.hpp) changes in one step of a sliced model.
struct StepFit {
    /// For what reads the stream before the step: added to the transposed basis there, by which the
    /// source's weights are multiplied. [hidden_size, width before the step]; empty: nothing.
    std::vector<float> reading;
    /// For linear layers that write to the stream: added to their weights.
    /// [width behind the step, in_features]
    std::map<Role, std::vector<float>> writing;
};

/// The fits of a block's steps, or, with `reading` alone, of what reads the stream at the end.
/// Artifact: RunDirectory::slice_fit(), a group for each step, 0, 1, ..., with float32 datasets
/// `reading` and, named by the role, those of `writing`.
void write_slice_fit(const std::filesystem::path& file, const std::vector<StepFit>& steps,
                     const std::string& fingerprint);
/// @throws MissingInputError, DataError
[[nodiscard]] std::vector<StepFit> read_slice_fit(const std::filesystem::path& file);

}  // namespace lathe
