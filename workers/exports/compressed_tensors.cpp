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
#include "workers/exports/safetensors_export.hpp"
#include "workers/exports/serving_config.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// One entry of config_groups. group_size 0: one group a row, strategy "channel".
struct Scheme {
    unsigned num_bits = 0;
    std::size_t group_size = 0;
    bool symmetric = true;

    auto operator<=>(const Scheme&) const = default;
};

std::string describe(const Scheme& scheme) {
    return std::to_string(scheme.num_bits) + " bits, " +
           (scheme.group_size == 0 ? "one group a row"
                                   : "groups of " + std::to_string(scheme.group_size)) +
           (scheme.symmetric ? ", symmetric" : ", asymmetric");
}

constexpr const char* no_short_groups =
    ", which compressed-tensors cannot hold; expected a group_size that divides the columns";

bool is_embedding(Role role) {
    return role == Role::token_embedding || role == Role::position_embedding ||
           role == Role::segment_embedding;
}

/// What a tensor is in the export: codes under a scheme, or dense, for a reason if it was
/// compressed.
struct Form {
    std::optional<Scheme> scheme;
    std::string dense_reason;

    bool operator==(const Form&) const = default;
};

std::string as_text(const Form& form) {
    return form.scheme ? describe(*form.scheme) : "dense";
}

std::string short_group(std::size_t group_size, std::size_t cols) {
    return "groups of " + std::to_string(group_size) + " leave a short last group in rows of " +
           std::to_string(cols);
}

/// @throws DataError  for a short last group of "integer" codes
Form form_of(const ExportedModel& model, std::size_t t) {
    const TensorSpec& tensor = model.spec().tensors[t];
    const EncodedTensor& header = model.header(t);
    if (header.encoding == "dense") {
        return {};
    }
    if (is_embedding(tensor.role)) {
        return {std::nullopt, "an embedding: loaders take no codes there"};
    }
    if (has_several_module_names(model.spec(), tensor)) {
        return {std::nullopt, "versions of transformers disagree on this module's name"};
    }
    const auto layout = integer_form(header);
    if (!layout) {
        return {std::nullopt, "encoding " + header.encoding + " has no equivalent in the format"};
    }
    const std::size_t cols = matrix_extents(header.shape).second;
    if (groups_per_row(cols, layout->group_size) == 1) {
        return {Scheme{layout->num_bits, 0, layout->symmetric}, ""};
    }
    if (cols % layout->group_size == 0) {
        return {Scheme{layout->num_bits, layout->group_size, layout->symmetric}, ""};
    }
    const std::string reason = short_group(layout->group_size, cols);
    if (header.encoding != "integer") {
        return {std::nullopt, reason};
    }
    throw DataError(tensor.name + ": " + reason + no_short_groups);
}

/// vLLM packs zeros of the layers that it runs as one below each other, in whole words.
bool fills_words(const ExportedModel& model, std::size_t t, const Scheme& scheme) {
    const std::size_t rows = matrix_extents(model.shape(t)).first;
    return scheme.symmetric || rows * scheme.num_bits % 32 == 0;
}

/// The form that the tensors of a unit have in common.
/// @throws DataError  if they differ
Form form_of_unit(const ExportedModel& model, const UnitSpec& unit) {
    const Form first = form_of(model, unit.tensors.front());
    for (const std::size_t t : unit.tensors) {
        const Form own = form_of(model, t);
        if (own.scheme != first.scheme) {
            const auto name = [&](std::size_t i) { return model.spec().tensors[i].name; };
            throw DataError(name(unit.tensors.front()) + " has " + as_text(first) + ", " + name(t) +
                            " has " + as_text(own) +
                            "; vLLM runs them as one layer, which needs one setting for all");
        }
    }
    const bool is_fused = unit.tensors.size() > 1;
    if (is_fused && first.scheme && !std::ranges::all_of(unit.tensors, [&](std::size_t t) {
            return fills_words(model, t, *first.scheme);
        })) {
        return {std::nullopt, "the zeros of a layer that is run as one with others fill no words"};
    }
    return first;
}

TensorExport packed_export(const ExportedModel& model, std::size_t t, const Scheme& scheme) {
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
    std::vector<std::pair<Scheme, std::vector<std::string>>> groups;
};

void add_target(PackPlan& plan, const Scheme& scheme, const std::string& module) {
    auto group = std::ranges::find(plan.groups, scheme, [](const auto& g) { return g.first; });
    if (group == plan.groups.end()) {
        group = plan.groups.insert(plan.groups.end(), {scheme, {}});
    }
    group->second.push_back(module);
}

PackPlan plan_export(const ExportedModel& model) {
    const ModelSpec& spec = model.spec();
    std::vector<Form> forms(spec.tensors.size());
    for (const UnitSpec& unit : spec.units) {
        const Form form = form_of_unit(model, unit);
        for (const std::size_t t : unit.tensors) {
            const Form own = form_of(model, t);
            forms[t] = own.scheme ? form : own;
        }
    }
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

    void complete_files(const fs::path& directory) const override {
        name_common_tokenizer_class(directory);
    }

    void add_notes() {
        const auto any = [&](auto&& is_so) {
            return std::ranges::any_of(plan_.groups,
                                       [&](const auto& group) { return is_so(group.first); });
        };
        if (any([](const Scheme& s) { return !s.symmetric; })) {
            add_note(
                "asymmetric codes: vLLM takes them; transformers only with compressed-tensors "
                "0.13 to 0.17, or with CompressedTensorsConfig(dequantize=True) if all layers "
                "have one setting");
        }
        if (any([](const Scheme& s) { return !std::has_single_bit(s.num_bits); })) {
            add_note("codes of 3, 5, 6 or 7 bits need compressed-tensors 0.18 or later");
        }
        if (any([](const Scheme& s) { return s.num_bits != 4 && s.num_bits != 8; })) {
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

std::string compressed_tensors_refuses_setting(const ModelSpec& spec, const UnitSpec& unit,
                                               const Setting& setting) {
    if (setting.method != "integer") {
        return "";
    }
    const auto group_size = static_cast<std::size_t>(std::stoull(setting.values.at("group_size")));
    for (const std::size_t t : unit.tensors) {
        const std::size_t cols = matrix_extents(spec.tensors[t].shape).second;
        if (!is_embedding(spec.tensors[t].role) && group_size < cols && cols % group_size != 0) {
            return short_group(group_size, cols) + no_short_groups;
        }
    }
    return "";
}

std::string compressed_tensors_refuses(const ModelSpec& spec) {
    if (spec.is_sliced()) {
        return "the model is sliced with a rotation for each boundary, whose shortcut matrices no "
               "server runs; expected slice.rotation: global";
    }
    if (std::ranges::any_of(spec.tensors, &TensorSpec::transposed)) {
        return "family " + spec.family +
               " stores its weights as [in, out], in a class of layers that the readers of the "
               "format do not know";
    }
    return "";
}

}  // namespace lathe
