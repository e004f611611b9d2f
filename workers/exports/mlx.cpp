#include "workers/exports/mlx.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/core/json.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/integer_form.hpp"
#include "lib/model/module_name.hpp"
#include "lib/model/stream.hpp"
#include "workers/exports/safetensors_export.hpp"
#include "workers/exports/serving_config.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 4> families{"llama", "mistral", "qwen2", "qwen3"};
constexpr std::array<unsigned, 6> widths{2, 3, 4, 5, 6, 8};
constexpr std::array<std::size_t, 3> group_sizes{128, 64, 32};

struct Scheme {
    unsigned num_bits = 0;
    std::size_t group_size = 0;  ///< MLX's
    bool symmetric = true;
};

struct Form {
    std::optional<Scheme> scheme;
    std::string dense_reason;
};

/// The largest of MLX's groups that fills rows and lies inside the tensor's own groups; 0: none.
std::size_t group_size_in(std::size_t own, std::size_t cols) {
    const bool one_group = groups_per_row(cols, own) == 1;
    const auto* const found = std::ranges::find_if(group_sizes, [&](std::size_t size) {
        return cols % size == 0 && (one_group || own % size == 0);
    });
    return found == group_sizes.end() ? 0 : *found;
}

Form form_of(const EncodedTensor& header) {
    if (header.encoding == "dense" || header.shape.size() != 2) {
        return {};
    }
    const auto layout = integer_form(header);
    if (!layout) {
        return {std::nullopt, "encoding " + header.encoding + " has no equivalent in the format"};
    }
    if (std::ranges::find(widths, layout->num_bits) == widths.end()) {
        return {std::nullopt,
                "the format has no codes of " + std::to_string(layout->num_bits) + " bits"};
    }
    const std::size_t cols = header.shape[1];
    const std::size_t group_size = group_size_in(layout->group_size, cols);
    if (group_size == 0) {
        return {std::nullopt, "groups of " + std::to_string(layout->group_size) + " in rows of " +
                                  std::to_string(cols) +
                                  " are not made of groups of 32, 64 or 128"};
    }
    return {Scheme{layout->num_bits, group_size, layout->symmetric}, ""};
}

std::vector<std::optional<Scheme>> schemes_of(const ExportedModel& model) {
    std::vector<std::optional<Scheme>> schemes;
    for (std::size_t t = 0; t < model.spec().tensors.size(); ++t) {
        schemes.push_back(form_of(model.header(t)).scheme);
    }
    return schemes;
}

std::vector<TensorExport> plan_export(const ExportedModel& model) {
    std::vector<TensorExport> plan;
    for (std::size_t t = 0; t < model.spec().tensors.size(); ++t) {
        const Form form = form_of(model.header(t));
        if (!form.scheme) {
            plan.push_back(dense_export(model, t, form.dense_reason));
            continue;
        }
        const std::string module = module_name(model.spec().tensors[t]);
        const Shape shape = model.shape(t);
        const DType scales = form.scheme->symmetric ? DType::f16 : DType::f32;
        const Shape grid{shape[0], shape[1] / form.scheme->group_size};
        plan.push_back({{{module + ".weight", DType::u32,
                          Shape{shape[0], words_per_row(shape[1], form.scheme->num_bits)}},
                         {module + ".scales", scales, grid},
                         {module + ".biases", scales, grid}},
                        true,
                        ""});
    }
    return plan;
}

/// Scales and biases of MLX's groups, as float32.
struct Grid {
    std::vector<float> scales;
    std::vector<float> biases;
};

Grid grid_of(const EncodedTensor& integer, std::size_t group_size) {
    const IntegerLayout layout = *integer_form(integer);
    const auto [rows, cols] = matrix_extents(integer.shape);
    const std::size_t own_groups = groups_per_row(cols, layout.group_size);
    std::vector<float> own(rows * own_groups);
    to_float(part(integer, "scales").bytes.data(), DType::f16, own);
    const std::byte* zeros = layout.symmetric ? nullptr : part(integer, "zeros").bytes.data();
    Grid grid;
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t begin = 0; begin < cols; begin += group_size) {
            const std::size_t g = i * own_groups + begin / layout.group_size;
            const unsigned zero = zeros == nullptr ? middle_code(layout.num_bits)
                                                   : std::to_integer<unsigned>(zeros[g]);
            grid.scales.push_back(own[g]);
            grid.biases.push_back(-own[g] * static_cast<float>(zero));
        }
    }
    return grid;
}

/// @throws DataError  if a number is none of `dtype`: a scale too large for its bias
std::vector<std::byte> exact_elements(const std::vector<float>& values, DType dtype,
                                      const std::string& name) {
    std::vector<std::byte> elements(values.size() * size_bytes(dtype));
    from_float(values, dtype, elements.data());
    std::vector<float> back(values.size());
    to_float(elements.data(), dtype, back);
    if (back != values) {
        throw DataError(name + ": a bias, -scale * zero, is larger than fp16 holds");
    }
    return elements;
}

class MlxExport final : public SafetensorsExport {
public:
    MlxExport(const std::shared_ptr<const ExportedModel>& model, std::uint64_t max_shard_bytes)
        : SafetensorsExport(model, plan_export(*model), max_shard_bytes),
          schemes_(schemes_of(*model)) {
        if (std::ranges::any_of(schemes_, [](const auto& s) { return s && !s->symmetric; })) {
            add_note("asymmetric codes have scales in float32, which MLX then computes in");
        }
        add_note(
            "scales in fp16 or bfloat16 make MLX round each weight to that type; in float32 "
            "weights are the checkpoint's to the last bit");
    }

private:
    [[nodiscard]] std::vector<std::vector<std::byte>> pack(std::size_t t) const override {
        const Scheme& scheme = schemes_.at(t).value();
        const EncodedTensor integer = to_integer(model().read(t));
        const Grid grid = grid_of(integer, scheme.group_size);
        const DType dtype = scheme.symmetric ? DType::f16 : DType::f32;
        const std::string& name = model().spec().tensors[t].name;
        return {part(integer, "codes").bytes, exact_elements(grid.scales, dtype, name),
                exact_elements(grid.biases, dtype, name)};
    }

    void complete(nlohmann::json& config) const override {
        state_dtype(config, model());
        state_what_has_other_defaults(config);
        nlohmann::json section = nlohmann::json::object();
        for (std::size_t t = 0; t < schemes_.size(); ++t) {
            if (!schemes_[t]) {
                continue;
            }
            const nlohmann::json own{{"group_size", schemes_[t]->group_size},
                                     {"bits", schemes_[t]->num_bits}};
            if (section.empty()) {
                section = own;  // for modules that the section does not name: there are none
            }
            section[module_name(model().spec().tensors[t])] = own;
        }
        if (!section.empty()) {
            config["quantization"] = section;
        }
    }

    /// mlx-lm reads some keys at the top of config.json only, and has defaults of its own.
    void state_what_has_other_defaults(nlohmann::json& config) const {
        const ModelSpec& spec = model().spec();
        config["rope_theta"] = spec.rope.theta;
        if (spec.rope.kind != "default" && !config.contains("rope_scaling")) {
            config["rope_scaling"] = config.value("rope_parameters", nlohmann::json());
        }
        config["tie_word_embeddings"] = spec.tied_head;
        config["head_dim"] = spec.head_dim;
        config["num_key_value_heads"] = spec.n_kv_heads;
        if (!config.contains("rms_norm_eps")) {
            config["rms_norm_eps"] = spec.norm_epsilon;
        }
        config["max_position_embeddings"] = spec.max_positions;
    }

    [[nodiscard]] std::string tokenizer_config(const std::string& text) const override {
        return with_common_tokenizer_class(text);
    }

    [[nodiscard]] std::uint64_t config_entry_bytes(std::size_t t) const override {
        // A name in quotes, and two keys of one number each, on four lines.
        return module_name(model().spec().tensors[t]).size() + 80;
    }
    [[nodiscard]] std::uint64_t config_frame_bytes() const override {
        const bool any = std::ranges::any_of(schemes_, [](const auto& s) { return s.has_value(); });
        return any ? 100 : 0;
    }

    std::vector<std::optional<Scheme>> schemes_;  ///< of each tensor
};

}  // namespace

std::unique_ptr<ExportWriter> make_mlx_writer(std::shared_ptr<const ExportedModel> model,
                                              std::uint64_t max_shard_bytes) {
    return std::make_unique<MlxExport>(model, max_shard_bytes);
}

UnitFate mlx_unit_fate(const ModelSpec& /*spec*/, const UnitSpec& /*unit*/,
                       std::span<const EncodedTensor> headers) {
    for (const EncodedTensor& header : headers) {
        if (Form form = form_of(header); !form.scheme) {
            return {UnitFate::Kind::dense, std::move(form.dense_reason)};
        }
    }
    return {};
}

std::string mlx_refuses(const ModelSpec& spec) {
    if (std::ranges::find(families, spec.family) == families.end() ||
        spec.head != HeadKind::language_model) {
        return "expected a language model of llama, mistral, qwen2 or qwen3; mlx-lm names the "
               "parts of family " +
               spec.family + " otherwise or has none";
    }
    if (spec.is_sliced()) {
        return reason_not_stock(spec);
    }
    const bool has_window = std::ranges::any_of(spec.windows, [&](std::size_t window) {
        return window != 0 && window < spec.max_positions;
    });
    return has_window ? "mlx-lm does not read the model's sliding window as the family does" : "";
}

}  // namespace lathe
