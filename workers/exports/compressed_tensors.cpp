#include "workers/exports/compressed_tensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <set>
#include <span>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/integer_form.hpp"
#include "lib/model/module_name.hpp"
#include "lib/model/stream.hpp"
#include "workers/exports/compressed_tensors_form.hpp"
#include "workers/exports/safetensors_export.hpp"
#include "workers/exports/serving_config.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

TensorExport packed_export(const ExportedModel& model, std::size_t t, const PackScheme& scheme) {
    const std::string module = module_name(model.spec().tensors[t]);
    const auto [rows, cols] = matrix_extents(model.shape(t));
    const std::size_t groups = scheme.group_size == 0 ? 1 : cols / scheme.group_size;
    TensorExport plan{{}, true, ""};
    plan.parts.push_back(
        {module + ".weight_packed", DType::i32, Shape{rows, words_per_row(cols, scheme.num_bits)}});
    plan.parts.push_back({module + ".weight_scale", DType::f16, Shape{rows, groups}});
    if (!scheme.symmetric) {
        plan.parts.push_back({module + ".weight_zero_point", DType::i32,
                              Shape{words_per_row(rows, scheme.num_bits), groups}});
    }
    plan.parts.push_back({module + ".weight_shape", DType::i64, Shape{2}});
    return plan;
}

/// zeros [rows, groups], a byte each -> words [ceil(rows * num_bits / 32), groups].
std::vector<std::byte> pack_zeros_along_rows(const TensorPart& zeros, unsigned num_bits) {
    const std::size_t rows = zeros.shape.at(0);
    const std::size_t groups = zeros.shape.at(1);
    const std::size_t words = words_per_row(rows, num_bits);
    std::vector<std::byte> packed(words * groups * word_bytes);
    std::vector<std::uint8_t> column(rows);
    std::vector<std::byte> column_words(words * word_bytes);
    for (std::size_t g = 0; g < groups; ++g) {
        for (std::size_t i = 0; i < rows; ++i) {
            column[i] = std::to_integer<std::uint8_t>(zeros.bytes[i * groups + g]);
        }
        pack_row(column.data(), rows, num_bits, column_words.data());
        for (std::size_t w = 0; w < words; ++w) {
            std::memcpy(packed.data() + (w * groups + g) * word_bytes,
                        column_words.data() + w * word_bytes, word_bytes);
        }
    }
    return packed;
}

std::vector<std::byte> shape_elements(const Shape& shape) {
    static_assert(std::endian::native == std::endian::little);
    const auto [rows, cols] = matrix_extents(shape);
    const std::array<std::int64_t, 2> extents{static_cast<std::int64_t>(rows),
                                              static_cast<std::int64_t>(cols)};
    const auto bytes = std::as_bytes(std::span(extents));
    return {bytes.begin(), bytes.end()};
}

struct PackPlan {
    std::vector<TensorExport> tensors;
    /// The modules of each scheme, and the schemes in the order of their first module.
    std::vector<std::pair<PackScheme, std::vector<std::string>>> groups;
};

void add_target(PackPlan& plan, const PackScheme& scheme, const std::string& module) {
    auto group = std::ranges::find(plan.groups, scheme, [](const auto& g) { return g.first; });
    if (group == plan.groups.end()) {
        group = plan.groups.insert(plan.groups.end(), {scheme, {}});
    }
    group->second.push_back(module);
}

std::vector<EncodedTensor> headers_of(const ExportedModel& model, const UnitSpec& unit) {
    std::vector<EncodedTensor> headers;
    for (const std::size_t t : unit.tensors) {
        headers.push_back(model.header(t));
    }
    return headers;
}

/// @throws DataError  for a unit that is refused
std::vector<PackForm> forms_of(const ExportedModel& model) {
    const ModelSpec& spec = model.spec();
    std::vector<PackForm> forms(spec.tensors.size());
    for (const UnitSpec& unit : spec.units) {
        const PackForm form = pack_form_of_unit(spec, unit, headers_of(model, unit));
        if (!form.refusal.empty()) {
            throw DataError(unit.name + " (" + spec.tensors[unit.tensors.front()].name +
                            "): " + form.refusal);
        }
        for (const std::size_t t : unit.tensors) {
            PackForm own = pack_form(spec, t, model.header(t));
            forms[t] = own.scheme ? form : std::move(own);
        }
    }
    return forms;
}

PackPlan plan_export(const ExportedModel& model) {
    const ModelSpec& spec = model.spec();
    const std::vector<PackForm> forms = forms_of(model);
    PackPlan plan;
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        if (!forms[t].scheme) {
            plan.tensors.push_back(dense_export(model, t, forms[t].dense_reason));
            continue;
        }
        plan.tensors.push_back(packed_export(model, t, *forms[t].scheme));
        add_target(plan, *forms[t].scheme, module_name(spec.tensors[t]));
    }
    return plan;
}

nlohmann::json quantisation_section(const PackPlan& plan, const ModelSpec& spec) {
    nlohmann::json groups = nlohmann::json::object();
    std::set<std::string> packed;
    for (const auto& [scheme, targets] : plan.groups) {
        nlohmann::json weights{{"num_bits", scheme.num_bits},
                               {"type", "int"},
                               {"symmetric", scheme.symmetric},
                               {"strategy", scheme.group_size == 0 ? "channel" : "group"},
                               {"dynamic", false}};
        if (scheme.group_size != 0) {
            weights["group_size"] = scheme.group_size;
        }
        groups["group_" + std::to_string(groups.size())] = {{"targets", targets},
                                                            {"weights", weights},
                                                            {"input_activations", nullptr},
                                                            {"output_activations", nullptr},
                                                            {"format", "pack-quantized"}};
        packed.insert(targets.begin(), targets.end());
    }
    // Loaders that go by classes take a head for one of the linear layers.
    nlohmann::json ignore = nlohmann::json::array();
    if (const auto head = spec.find(Role::lm_head, std::nullopt)) {
        if (const std::string module = module_name(spec.tensors[*head]); !packed.contains(module)) {
            ignore.push_back(module);
        }
    }
    return {{"quant_method", "compressed-tensors"},
            {"format", "pack-quantized"},
            {"quantization_status", "compressed"},
            {"config_groups", groups},
            {"ignore", ignore},
            {"kv_cache_scheme", nullptr},
            {"global_compression_ratio", nullptr}};
}

class CompressedTensorsExport final : public SafetensorsExport {
public:
    CompressedTensorsExport(std::shared_ptr<const ExportedModel> model, PackPlan plan,
                            std::uint64_t max_shard_bytes)
        : SafetensorsExport(std::move(model), plan.tensors, max_shard_bytes),
          plan_(std::move(plan)) {
        add_notes();
    }

private:
    [[nodiscard]] std::vector<std::vector<std::byte>> pack(std::size_t t) const override {
        const EncodedTensor integer = to_integer(model().read(t));
        std::vector<std::vector<std::byte>> parts{part(integer, "codes").bytes,
                                                  part(integer, "scales").bytes};
        if (integer.settings.at("symmetric") == 0) {
            parts.push_back(pack_zeros_along_rows(
                part(integer, "zeros"), static_cast<unsigned>(integer.settings.at("num_bits"))));
        }
        parts.push_back(shape_elements(integer.shape));
        return parts;
    }

    void complete(nlohmann::json& config) const override {
        state_dtype(config, model());
        if (!plan_.groups.empty()) {
            config["quantization_config"] = quantisation_section(plan_, model().spec());
        }
    }

    [[nodiscard]] std::string tokenizer_config(const std::string& text) const override {
        return with_common_tokenizer_class(text);
    }

    [[nodiscard]] std::uint64_t config_entry_bytes(std::size_t t) const override {
        // A line of a list: ten spaces, quotes, comma.
        return module_name(model().spec().tensors[t]).size() + 14;
    }

    [[nodiscard]] std::uint64_t config_frame_bytes() const override {
        constexpr std::uint64_t section = 500;
        constexpr std::uint64_t group = 600;
        return plan_.groups.empty() ? 0 : section + group * plan_.groups.size();
    }

    void add_notes() {
        const auto any = [&](auto&& is_so) {
            return std::ranges::any_of(plan_.groups,
                                       [&](const auto& group) { return is_so(group.first); });
        };
        if (any([](const PackScheme& s) { return !s.symmetric; })) {
            add_note(
                "asymmetric codes: vLLM takes them; transformers only with compressed-tensors "
                "0.13 to 0.17, or with CompressedTensorsConfig(dequantize=True) if all layers "
                "have one setting");
        }
        if (any([](const PackScheme& s) { return !std::has_single_bit(s.num_bits); })) {
            add_note("codes of 3, 5, 6 or 7 bits need compressed-tensors 0.18 or later");
        }
        if (any([](const PackScheme& s) { return s.num_bits != 4 && s.num_bits != 8; })) {
            add_note(
                "of widths other than 4 and 8 bits vLLM has kernels with the package humming "
                "only");
        }
    }

    PackPlan plan_;
};

}  // namespace

std::unique_ptr<ExportWriter> make_compressed_tensors_writer(
    std::shared_ptr<const ExportedModel> model, std::uint64_t max_shard_bytes) {
    PackPlan plan = plan_export(*model);
    return std::make_unique<CompressedTensorsExport>(std::move(model), std::move(plan),
                                                     max_shard_bytes);
}

std::string compressed_tensors_refuses(const ModelSpec& spec) {
    if (spec.is_sliced()) {
        return reason_not_stock(spec);
    }
    if (std::ranges::any_of(spec.tensors, &TensorSpec::transposed)) {
        return "family " + spec.family +
               " stores its weights as [in, out], in a class of layers that the readers of the "
               "format do not know";
    }
    return "";
}

}  // namespace lathe
