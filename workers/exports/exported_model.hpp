#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "workers/checkpoint/compressed_checkpoint.hpp"
#include "workers/checkpoint/kept_neurons.hpp"
#include "workers/model/source_model.hpp"

namespace lathe {

/// A compressed checkpoint as an export sees it. Where the feed-forward layers all drop the same
/// neurons, it is the smaller model of what is left.
///
/// Or one that is still to be made: then its headers are known and nothing can be read. A writer of
/// such a model says what an export will take.
class ExportedModel {
public:
    /// Reads the headers of all tensors. @throws MissingInputError, DataError
    explicit ExportedModel(std::filesystem::path checkpoint);
    /// A checkpoint to come, with tensors of these encodings, shapes and settings (their parts are
    /// not looked at). @throws IoError
    ExportedModel(const ModelOutline& source, std::vector<EncodedTensor> headers);

    /// Where config.json and the side files lie.
    [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
    /// The element type of most of the source's weights.
    [[nodiscard]] DType main_dtype() const { return main_dtype_; }
    /// Names, roles and units. Shapes are those of the model before neurons were dropped.
    [[nodiscard]] const ModelSpec& spec() const { return spec_; }
    /// What the text of config.json is to be, apart from what a format adds.
    [[nodiscard]] const std::string& config() const { return config_; }

    /// [out_features, in_features] of a linear weight.
    [[nodiscard]] Shape shape(std::size_t tensor) const;
    /// The same as the source has it: turned, where TensorSpec::transposed says so.
    [[nodiscard]] Shape source_shape(std::size_t tensor) const;
    /// The element type that the tensor had in the source.
    [[nodiscard]] DType dtype(std::size_t tensor) const { return dtypes_.at(tensor); }
    /// As read(), without the bytes of the parts.
    [[nodiscard]] const EncodedTensor& header(std::size_t tensor) const {
        return headers_.at(tensor);
    }
    /// The tensor as it is stored. What is left of one that neurons were dropped from is one of its
    /// pieces or, if no piece is just that, "dense".
    /// @throws DataError  naming the tensor: absent, corrupt
    [[nodiscard]] EncodedTensor read(std::size_t tensor) const;
    /// Its values, decoded, [rows, cols] row-major.
    [[nodiscard]] std::vector<float> values(std::size_t tensor) const;

private:
    [[nodiscard]] const CompressedCheckpoint& checkpoint() const;
    /// Makes of headers_ and config_ those of the smaller model, if there is one.
    void leave_out_neurons();

    std::optional<CompressedCheckpoint> checkpoint_;  ///< none: still to be made
    std::filesystem::path directory_;
    ModelSpec spec_;
    DType main_dtype_ = DType::f32;
    std::optional<KeptNeurons> kept_;
    std::string config_;
    std::vector<DType> dtypes_;
    std::vector<EncodedTensor> headers_;
};

/// The elements of a tensor as floating numbers of `dtype`, in the order in which the source has
/// them: turned, where TensorSpec::transposed says so.
[[nodiscard]] std::vector<std::byte> dense_elements(const ExportedModel& model, std::size_t tensor,
                                                    DType dtype);

}  // namespace lathe
