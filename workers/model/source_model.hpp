#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/config/job_config.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/tokenizer/tokenizer.hpp"
#include "workers/model/neuron_order.hpp"

namespace lathe {

/// What is known of a model without its weights at hand: enough to say what it will take.
struct ModelOutline {
    std::filesystem::path directory;
    ModelSpec spec;
    std::vector<DType> dtypes;  ///< of each tensor as stored
    /// The text that takes the place of config.json in what is made of the model, where the weights
    /// say otherwise than the file (lib/model/settled_config.hpp).
    std::optional<std::string> settled_config{};
    /// HeldEnergy (methods/method.hpp) of a model whose neurons are in order.
    std::vector<std::vector<double>> held_energy{};

    /// settled_config, or what the file says.
    [[nodiscard]] std::string config_text() const;
    [[nodiscard]] DType dtype(std::size_t tensor) const { return dtypes.at(tensor); }
};

/// A Hugging Face directory, opened: headers read and matched against the model it describes.
struct SourceModel : ModelOutline {
    SafetensorsCheckpoint weights;
    std::vector<PassedOver> passed_over;  ///< tensors that the model does not need
    /// By block; empty: neurons are in the order in which they are stored.
    std::vector<NeuronOrder> neuron_orders{};

    /// @throws MissingInputError, DataError
    static std::unique_ptr<SourceModel> open(const std::filesystem::path& directory,
                                             const ModelReading& reading);
};

/// The element type of most of a model's weights.
[[nodiscard]] DType main_dtype(const ModelOutline& model);
/// Whether the tensor is one of a unit; norms and biases are not.
[[nodiscard]] bool is_in_unit(const ModelSpec& spec, std::size_t tensor);

/// The model's tokenizer; none if the directory has none. It may have tokens that the model has no
/// row for: check_ids() finds the texts that use one. @throws DataError
[[nodiscard]] std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& directory,
                                                        const ModelSpec& spec);

/// A tensor's elements in the order of TensorSpec::shape, with neurons in their order: what is
/// stored, or a copy of it in `memory`.
[[nodiscard]] std::span<const std::byte> elements_of(const SourceModel& source, std::size_t index,
                                                     std::vector<std::byte>& memory);

/// A tensor that no unit has (a norm, a bias), or one kept as it is: the source's elements.
[[nodiscard]] EncodedTensor source_tensor(const SourceModel& source, std::size_t index);

}  // namespace lathe
