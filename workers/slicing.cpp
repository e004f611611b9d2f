#include "workers/slicing.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <map>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "workers/fused_weights.hpp"
#include "workers/hf_export.hpp"
#include "workers/rotation.hpp"
#include "workers/sliced_model.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

bool is_shortcut(Role role) {
    return role == Role::attention_shortcut || role == Role::mlp_shortcut;
}

bool is_norm_of_stream(Role role) {
    return role == Role::attention_norm || role == Role::mlp_norm || role == Role::final_norm;
}

/// Computes the tensors of a sliced model, in fp64.
class Slicer {
public:
    Slicer(const JobContext& context, const SlicedModel& target,
           const std::vector<std::size_t>& widths)
        : context_(context), target_(target), widths_(widths) {}

    [[nodiscard]] std::vector<double> values(const TensorSpec& tensor) {
        const ModelSpec& fused = context_.fused->spec;
        if (is_norm_of_stream(tensor.role)) {
            return std::vector<double>(element_count(tensor.shape), 1.0);
        }
        const StreamSides sides = stream_sides(fused, tensor);
        if (is_shortcut(tensor.role)) {
            return product(basis(*sides.rows), widths_[*sides.rows], false, basis(*sides.columns),
                           true, widths_[*sides.columns], fused.hidden_size);
        }
        const auto index = fused.find(tensor.role, tensor.block, tensor.is_bias);
        std::vector<double> values =
            context_.fused->weights.values(index.value(), context_.backend());
        const Shape& whole = fused.tensors[*index].shape;
        const std::size_t rows = whole.front();
        const std::size_t cols = tensor.is_bias ? 1 : values.size() / rows;
        if (sides.columns && !tensor.is_bias) {
            values = product(values, rows, false, basis(*sides.columns), true,
                             widths_[*sides.columns], cols);
        }
        if (sides.rows) {
            values = product(basis(*sides.rows), widths_[*sides.rows], false, values, false,
                             values.size() / rows, rows);
        }
        scale_for_stock_norm(tensor, values);
        return values;
    }

private:
    /// op(a) [m, k] @ op(b) [k, n]
    std::vector<double> product(const std::vector<double>& a, std::size_t m, bool transpose_a,
                                const std::vector<double>& b, bool transpose_b, std::size_t n,
                                std::size_t k) const {
        std::vector<double> y(m * n);
        const auto view = [](const std::vector<double>& x, std::size_t rows, std::size_t cols,
                             bool turned) {
            return turned ? MatrixView<const double>(x.data(), cols, rows)
                          : MatrixView<const double>(x.data(), rows, cols);
        };
        context_.backend().multiply(view(a, m, k, transpose_a), transpose_a,
                                    view(b, k, n, transpose_b), transpose_b, {y.data(), m, n});
        return y;
    }

    const std::vector<double>& basis(std::size_t boundary) {
        const auto known = bases_.find(boundary);
        if (known != bases_.end()) {
            return known->second;
        }
        return bases_.emplace(boundary, stream_basis(context_, boundary, widths_[boundary]))
            .first->second;
    }

    /// A stock norm divides by the mean over the width, not over the source's hidden size.
    void scale_for_stock_norm(const TensorSpec& tensor, std::vector<double>& values) const {
        if (!target_.is_stock() || tensor.is_bias || !norm_before(target_.spec, tensor)) {
            return;
        }
        const double factor = std::sqrt(static_cast<double>(context_.fused->spec.hidden_size) /
                                        static_cast<double>(target_.spec.hidden_size));
        for (double& value : values) {
            value *= factor;
        }
    }

    const JobContext& context_;
    const SlicedModel& target_;
    const std::vector<std::size_t>& widths_;
    std::map<std::size_t, std::vector<double>> bases_;
};

/// Values in the source's layout, as bytes.
std::vector<std::byte> stored(const TensorSpec& tensor, const std::vector<double>& values,
                              DType dtype) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    std::vector<float> rounded(values.size());
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
            rounded[tensor.transposed ? j * rows + i : i * cols + j] =
                static_cast<float>(values[i * cols + j]);
        }
    }
    std::vector<std::byte> bytes(values.size() * size_bytes(dtype));
    from_float(rounded, dtype, bytes.data());
    return bytes;
}

}  // namespace

void run_slicing(const JobContext& context, const SliceTask& task) {
    const SourceModel& source = context.given_model();
    const SlicedModel target = describe_sliced(source, *context.job.slice, task.widths);
    Slicer slicer(context, target, task.widths);
    std::vector<std::vector<std::byte>> storage;
    std::vector<TensorToWrite> tensors;
    for (const TensorSpec& tensor : target.spec.tensors) {
        if (tensor.block != task.block) {
            continue;
        }
        const DType dtype = sliced_dtype(source, tensor);
        storage.push_back(stored(tensor, slicer.values(tensor), dtype));
        tensors.push_back({tensor.name, dtype, tensor.source_shape(), storage.back()});
    }
    write_safetensors(context.run.sliced() / sliced_file(target.spec, task.block), tensors);
}

std::string sliced_file(const ModelSpec& spec, std::optional<std::size_t> block) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "model-%05zu-of-%05zu.safetensors",
                  block ? *block + 2 : std::size_t{1}, spec.n_blocks + 1);
    return text.data();
}

void write_sliced_frame(const JobContext& context, const std::vector<std::size_t>& widths) {
    const SourceModel& source = context.given_model();
    const fs::path directory = context.run.sliced();
    const SlicedModel target = describe_sliced(source, *context.job.slice, widths);
    copy_side_files(source.directory, directory);
    write_file(directory / "config.json", target.config);
    if (!target.is_stock()) {
        write_file(directory / slicing_file, target.slicing);
    }
    nlohmann::json weight_map = nlohmann::json::object();
    std::uint64_t total = 0;
    for (const TensorSpec& tensor : target.spec.tensors) {
        weight_map[tensor.name] = sliced_file(target.spec, tensor.block);
        total += element_count(tensor.shape) * size_bytes(sliced_dtype(source, tensor));
    }
    const nlohmann::json index{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    write_file(directory / "model.safetensors.index.json", index.dump(1));
}

std::string to_json(const SliceTask& task) {
    nlohmann::json json{{"widths", task.widths}};
    if (task.block) {
        json["block"] = *task.block;
    }
    return json.dump();
}

SliceTask slice_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    SliceTask task{{}, json.at("widths").get<std::vector<std::size_t>>()};
    if (json.contains("block")) {
        task.block = json["block"].get<std::size_t>();
    }
    return task;
}

}  // namespace lathe
