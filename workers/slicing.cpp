#include "workers/slicing.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "workers/fused_weights.hpp"
#include "workers/hf_export.hpp"
#include "workers/rotation.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

bool is_global(const SliceConfig& slice) {
    return slice.rotation == SliceConfig::Rotation::global;
}

bool is_shortcut(Role role) {
    return role == Role::attention_shortcut || role == Role::mlp_shortcut;
}

bool is_norm_of_stream(Role role) {
    return role == Role::attention_norm || role == Role::mlp_norm || role == Role::final_norm;
}

std::string config_text(const SourceModel& source) {
    return read_file(source.directory / "config.json");
}

std::string stock_config(const SourceModel& source, std::size_t width) {
    const ModelSpec& spec = source.spec;
    nlohmann::json json = parse_json(config_text(source));
    json["hidden_size"] = width;
    json["head_dim"] = spec.head_dim;
    json["rms_norm_eps"] = double{spec.norm_epsilon} * static_cast<double>(spec.hidden_size) /
                           static_cast<double>(width);
    json["tie_word_embeddings"] = false;
    return json.dump(2) + "\n";
}

/// Of one tensor: that of the source's tensor it comes from.
DType sliced_dtype(const SourceModel& source, const TensorSpec& tensor) {
    const ModelSpec& spec = source.spec;
    if (is_shortcut(tensor.role)) {
        const DType like = source.dtype(spec.find(Role::token_embedding, std::nullopt).value());
        return size_bytes(like) > 2 ? DType::f32 : DType::f16;
    }
    const bool is_tied_head = tensor.role == Role::lm_head && spec.tied_head;
    const Role role = is_tied_head ? Role::token_embedding : tensor.role;
    const auto own = spec.find(role, tensor.block, tensor.is_bias);
    return source.dtype(own ? *own : spec.find(role, tensor.block, false).value());
}

std::uint64_t parameters_of(const SourceModel& source, const SliceConfig& slice,
                            const std::vector<std::size_t>& widths) {
    return describe_sliced(source, slice, widths).spec.parameters();
}

std::vector<std::size_t> uniform(const SourceModel& source, const SliceConfig& slice,
                                 std::size_t width) {
    const ModelSpec& spec = source.spec;
    std::vector<std::size_t> widths(n_boundaries(spec), width);
    if (!is_rotated(slice, spec, widths.size() - 1)) {
        widths.back() = spec.hidden_size;
    }
    return widths;
}

/// Widths are multiples of it. A stock model's has to be one of its heads too.
std::size_t width_step(const SourceModel& source, const SliceConfig& slice) {
    return is_global(slice) ? std::lcm(slice.round_interval, source.spec.n_heads)
                            : slice.round_interval;
}

std::uint64_t wanted_parameters(const SourceModel& source, double reduction) {
    return static_cast<std::uint64_t>((1.0 - reduction) *
                                      static_cast<double>(source.spec.parameters()));
}

[[noreturn]] void refuse_reduction(const SourceModel& source, const SliceConfig& slice,
                                   std::size_t step) {
    const std::uint64_t least = parameters_of(source, slice, uniform(source, slice, step));
    const auto all = static_cast<double>(source.spec.parameters());
    std::array<char, 200> text{};
    std::snprintf(text.data(), text.size(),
                  "slice.parameter_reduction: no width takes %.4g of the parameters away; the "
                  "smallest one, %zu, takes %.4g",
                  *slice.parameter_reduction, step, 1.0 - static_cast<double>(least) / all);
    throw InfeasibleError(text.data());
}

}  // namespace

SlicedModel describe_sliced(const SourceModel& source, const SliceConfig& slice,
                            const std::vector<std::size_t>& widths) {
    const std::string where = source.directory.string();
    const std::string config = config_text(source);
    if (is_global(slice) && source.spec.norm == NormKind::rms) {
        const std::string stock = stock_config(source, widths.front());
        return {stock, "", read_model_spec(stock, where)};
    }
    const StreamShape shape{widths, !is_global(slice)};
    const ModelSpec canonical = read_model_spec(config, where);
    return {config, to_json(shape, canonical), sliced_spec(canonical, shape, where)};
}

ModelOutline sliced_outline(const SourceModel& source, const SliceConfig& slice,
                            const std::vector<std::size_t>& widths) {
    ModelOutline outline{source.directory, describe_sliced(source, slice, widths).spec, {}};
    for (const TensorSpec& tensor : outline.spec.tensors) {
        outline.dtypes.push_back(sliced_dtype(source, tensor));
    }
    return outline;
}

std::vector<std::size_t> constant_widths(const SourceModel& source, const SliceConfig& slice) {
    const std::size_t d = source.spec.hidden_size;
    const std::size_t step = width_step(source, slice);
    if (!slice.parameter_reduction) {
        auto width = static_cast<std::size_t>((1.0 - slice.sparsity) * static_cast<double>(d));
        width -= slice.sparsity > 0.0 ? width % step : 0;
        if (width == 0) {
            throw InfeasibleError("slice.sparsity: nothing is left of a hidden size of " +
                                  std::to_string(d) + " in steps of " + std::to_string(step));
        }
        return uniform(source, slice, width);
    }
    // Parameters grow with the width, so the largest width that fits is found by halving.
    const std::uint64_t wanted = wanted_parameters(source, *slice.parameter_reduction);
    std::size_t low = 0;  // fits, or 0
    std::size_t high = d / step + 1;
    while (low + 1 < high) {
        const std::size_t middle = (low + high) / 2;
        const bool fits =
            parameters_of(source, slice, uniform(source, slice, middle * step)) <= wanted;
        (fits ? low : high) = middle;
    }
    if (low == 0) {
        refuse_reduction(source, slice, step);
    }
    return uniform(source, slice, low * step);
}

std::vector<std::size_t> energy_widths(const SourceModel& source, const SliceConfig& slice,
                                       const std::vector<std::vector<double>>& eigenvalues) {
    const std::size_t d = source.spec.hidden_size;
    const std::size_t step = width_step(source, slice);
    const std::uint64_t wanted = parameters_of(source, slice, constant_widths(source, slice));
    /// The smallest widths that cut off at most `share` of the energy.
    const auto widths_for = [&](double share) {
        std::vector<std::size_t> widths(eigenvalues.size(), d);
        for (std::size_t b = 0; b < eigenvalues.size(); ++b) {
            if (eigenvalues[b].empty()) {
                continue;
            }
            const double total = std::accumulate(eigenvalues[b].begin(), eigenvalues[b].end(), 0.0);
            double cut = 0.0;
            std::size_t width = d;
            while (width > 1 && cut + eigenvalues[b][width - 1] <= share * total) {
                cut += eigenvalues[b][--width];
            }
            widths[b] = std::min(d, (width + step - 1) / step * step);
        }
        return widths;
    };
    double low = -40.0;  // powers of 2 of the share; too many parameters
    double high = 0.0;
    for (int i = 0; i < 50; ++i) {
        const double middle = (low + high) / 2.0;
        const bool fits = parameters_of(source, slice, widths_for(std::exp2(middle))) <= wanted;
        (fits ? high : low) = middle;
    }
    return widths_for(std::exp2(high));
}

namespace {

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
