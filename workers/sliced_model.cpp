#include "workers/sliced_model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "workers/rotation.hpp"

namespace lathe {

namespace {

bool is_shortcut(Role role) {
    return role == Role::attention_shortcut || role == Role::mlp_shortcut;
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
    return slice.is_global() ? std::lcm(slice.round_interval, source.spec.n_heads)
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

SlicedModel describe_sliced(const SourceModel& source, const SliceConfig& slice,
                            const std::vector<std::size_t>& widths) {
    const std::string where = source.directory.string();
    const std::string config = config_text(source);
    if (slice.is_global() && source.spec.norm == NormKind::rms) {
        const std::string stock = stock_config(source, widths.front());
        return {stock, "", read_model_spec(stock, where)};
    }
    const StreamShape shape{widths, !slice.is_global()};
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

}  // namespace lathe
