#include "workers/candidates/kept_tensors.hpp"

#include "methods/dense.hpp"
#include "methods/method.hpp"
#include "workers/model/source_model.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {
namespace {

/// Values of a tensor of the source, and the matrix they are.
struct Values {
    std::vector<float> data;
    MatrixView<float> matrix;

    explicit Values(const Shape& shape) {
        const auto [rows, cols] = matrix_extents(shape);
        data.resize(rows * cols);
        matrix = {data.data(), rows, cols};
    }
};

Values source_values(const JobContext& context, std::size_t tensor) {
    const TensorSpec& spec = context.spec().tensors.at(tensor);
    Values values(spec.shape);
    SourceWeights(*context.source).load(tensor, context.backend(), values.matrix);
    (void)require_finite(context.spec(), spec, context.backend(), values.matrix);
    return values;
}

EncodedTensor encoded(const JobContext& context, std::size_t tensor, const Setting& setting,
                      const Values& values) {
    return solve_kept(
        setting,
        {values.matrix, context.spec().tensors[tensor].shape, context.source->dtype(tensor)},
        context.backend());
}

}  // namespace

std::vector<Setting> kept_settings(const JobContext& context) {
    return kept_settings(context.job.kept_tensors);
}

std::vector<std::size_t> kept_tensors(const ModelSpec& spec) {
    std::vector<std::size_t> tensors;
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        if (!is_in_unit(spec, t)) {
            tensors.push_back(t);
        }
    }
    return tensors;
}

EncodedTensor kept_tensor(const JobContext& context, std::size_t tensor, const Setting& setting) {
    return setting == source_setting()
               ? source_tensor(*context.source, tensor)
               : encoded(context, tensor, setting, source_values(context, tensor));
}

std::uint64_t kept_bytes(const ModelOutline& source, std::size_t tensor, const Setting& setting) {
    return find_method(setting.method, "")
        .bytes(setting, source.spec.tensors.at(tensor).shape, source.dtype(tensor));
}

Candidate kept_candidate(const JobContext& context, const Setting& setting) {
    const std::vector<std::size_t> tensors = kept_tensors(context.spec());
    Candidate candidate{context.spec().units.size(), setting};
    for (const std::size_t t : tensors) {
        candidate.bytes += kept_bytes(*context.source, t, setting);
        if (setting == source_setting()) {
            continue;
        }
        const Values values = source_values(context, t);
        Values decoded(context.spec().tensors[t].shape);
        decode(encoded(context, t, setting, values), decoded.matrix);
        double error = 0.0;
        double squares = 0.0;
        for (std::size_t i = 0; i < values.data.size(); ++i) {
            const double value = values.data[i];
            const double difference = value - decoded.data[i];
            error += difference * difference;
            squares += value * value;
        }
        candidate.error += error;
        candidate.relative_error +=
            squares > 0.0 ? error / squares / static_cast<double>(tensors.size()) : 0.0;
    }
    return candidate;
}

}  // namespace lathe
