#include "workers/exports/exported_model.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/dense.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {
namespace fs = std::filesystem;

ExportedModel::ExportedModel(fs::path checkpoint)
    : checkpoint_(std::move(checkpoint)),
      directory_(checkpoint_->directory()),
      spec_(checkpoint_->spec()),
      main_dtype_(dtype_from_name(
          text_attribute(checkpoint_->attributes(), "source_dtype", directory_.string()))),
      config_(read_file(directory_ / "config.json")) {
    for (std::size_t t = 0; t < spec().tensors.size(); ++t) {
        dtypes_.push_back(checkpoint_->source_dtype(t));
        headers_.push_back(checkpoint_->read_header(t));
    }
    leave_out_neurons();
}

ExportedModel::ExportedModel(const ModelOutline& source, std::vector<EncodedTensor> headers)
    : directory_(source.directory),
      spec_(source.spec),
      main_dtype_(lathe::main_dtype(source)),
      config_(source.config_text()),
      dtypes_(source.dtypes),
      headers_(std::move(headers)) {
    leave_out_neurons();
}

void ExportedModel::leave_out_neurons() {
    kept_ = kept_neurons(spec_, headers_, config_, (directory_ / "config.json").string());
    if (!kept_) {
        return;
    }
    config_ = kept_->config;
    for (std::size_t t = 0; t < headers_.size(); ++t) {
        if (const Shape kept = shape(t); headers_[t].shape != kept) {
            const EncodedTensor* const piece = kept_piece(headers_[t]);
            headers_[t] = piece == nullptr ? dense_outline(kept) : EncodedTensor(*piece);
        }
    }
}

const CompressedCheckpoint& ExportedModel::checkpoint() const {
    if (!checkpoint_) {
        throw InternalError("the checkpoint of " + directory_.string() + " is still to be made");
    }
    return *checkpoint_;
}

Shape ExportedModel::shape(std::size_t tensor) const {
    const TensorSpec& known = spec().tensors.at(tensor);
    return kept_ ? kept_->shape(known) : known.shape;
}

Shape ExportedModel::source_shape(std::size_t tensor) const {
    TensorSpec written = spec().tensors.at(tensor);
    written.shape = shape(tensor);
    return written.source_shape();
}

EncodedTensor ExportedModel::read(std::size_t tensor) const {
    EncodedTensor stored = checkpoint().read(tensor);
    const Shape kept = shape(tensor);
    if (stored.shape == kept) {
        return stored;
    }
    if (const EncodedTensor* const piece = kept_piece(stored)) {
        return EncodedTensor(*piece);
    }
    const auto [rows, cols] = matrix_extents(stored.shape);
    std::vector<float> values(rows * cols);
    decode(stored, {values.data(), rows, cols});
    values = kept_->take(spec().tensors.at(tensor), values);
    const auto [kept_rows, kept_cols] = matrix_extents(kept);
    return encode_dense({values.data(), kept_rows, kept_cols}, kept, DType::f32);
}

std::vector<float> ExportedModel::values(std::size_t tensor) const {
    const EncodedTensor stored = read(tensor);
    const auto [rows, cols] = matrix_extents(stored.shape);
    std::vector<float> values(rows * cols);
    decode(stored, {values.data(), rows, cols});
    return values;
}

std::vector<std::byte> dense_elements(const ExportedModel& model, std::size_t tensor, DType dtype) {
    const std::vector<float> values = model.values(tensor);
    std::vector<std::byte> elements(values.size() * size_bytes(dtype));
    from_float(values, dtype, elements.data());
    if (!model.spec().tensors.at(tensor).transposed) {
        return elements;
    }
    const Shape shape = model.shape(tensor);
    return turned(elements, size_bytes(dtype), shape.at(0), shape.at(1));
}

}  // namespace lathe
