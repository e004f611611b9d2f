#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/model/model_spec.hpp"

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

/// Whether the tensor is of gate, up or down: a part of it belongs to each neuron.
[[nodiscard]] bool has_neurons(const TensorSpec& tensor);

/// None unless gate, up and down of every block drop as many neurons (method ffsplit), and the
/// family's config.json has a key for how many there are. `headers`: of all tensors; `config`: the
/// text of config.json, `where` it is from. @throws DataError
[[nodiscard]] std::optional<KeptNeurons> kept_neurons(const ModelSpec& spec,
                                                      std::span<const EncodedTensor> headers,
                                                      const std::string& config,
                                                      const std::string& where);

/// What is left of a tensor of which only the first neurons are kept, as one piece; null: it is not
/// such a one.
[[nodiscard]] const EncodedTensor* kept_piece(const EncodedTensor& tensor);

}  // namespace lathe
