#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"

namespace lathe {

/// A checkpoint whose feed-forward layers all lack the same last neurons is a smaller model of the
/// same family: what is left of them.
struct KeptNeurons {
    std::size_t before = 0;  ///< ModelSpec::intermediate_size
    std::size_t count = 0;   ///< the first of them, which are kept
    std::string config;      ///< the config.json of the smaller model

    /// The tensor's shape in the smaller model.
    [[nodiscard]] Shape shape(const TensorSpec& tensor) const;
    /// The elements of a tensor that are kept, in their order. `values`: as a matrix of
    /// matrix_extents(tensor.shape), row-major.
    [[nodiscard]] std::vector<float> take(const TensorSpec& tensor,
                                          const std::vector<float>& values) const;
};

/// None unless gate, up and down of every block drop as many neurons (method ffsplit), and the
/// family's config.json has a key for how many there are. Reads headers only.
/// @throws DataError
[[nodiscard]] std::optional<KeptNeurons> kept_neurons(const CompressedCheckpoint& checkpoint);

}  // namespace lathe
