#include "workers/exports/compressed_tensors_form.hpp"

#include <algorithm>

#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/integer_form.hpp"
#include "lib/model/module_name.hpp"

namespace lathe {
namespace {

std::string describe_scheme(const PackScheme& scheme) {
    return std::to_string(scheme.num_bits) + " bits, " +
           (scheme.group_size == 0 ? "one group a row"
                                   : "groups of " + std::to_string(scheme.group_size)) +
           (scheme.symmetric ? ", symmetric" : ", asymmetric");
}

bool is_embedding(Role role) {
    return role == Role::token_embedding || role == Role::position_embedding ||
           role == Role::segment_embedding;
}

std::string short_group(std::size_t group_size, std::size_t cols) {
    return "groups of " + std::to_string(group_size) + " leave a short last group in rows of " +
           std::to_string(cols);
}

/// vLLM packs zeros of the layers that it runs as one below each other, in whole words.
bool fills_words(const EncodedTensor& header, const PackScheme& scheme) {
    const std::size_t rows = matrix_extents(header.shape).first;
    return scheme.symmetric || rows * scheme.num_bits % 32 == 0;
}

}  // namespace

std::string describe(const PackForm& form) {
    return form.scheme ? describe_scheme(*form.scheme) : "dense";
}

PackForm pack_form(const ModelSpec& spec, std::size_t t, const EncodedTensor& header) {
    const TensorSpec& tensor = spec.tensors[t];
    if (header.encoding == "dense") {
        return {};
    }
    if (is_embedding(tensor.role)) {
        return {std::nullopt, "an embedding: loaders take no codes there", ""};
    }
    if (has_several_module_names(spec, tensor)) {
        return {std::nullopt, "versions of transformers disagree on this module's name", ""};
    }
    const auto layout = integer_form(header);
    if (!layout) {
        return {std::nullopt, "encoding " + header.encoding + " has no equivalent in the format",
                ""};
    }
    const std::size_t cols = matrix_extents(header.shape).second;
    if (groups_per_row(cols, layout->group_size) == 1) {
        return {PackScheme{layout->num_bits, 0, layout->symmetric}, "", ""};
    }
    if (cols % layout->group_size == 0) {
        return {PackScheme{layout->num_bits, layout->group_size, layout->symmetric}, "", ""};
    }
    const std::string reason = short_group(layout->group_size, cols);
    if (header.encoding != "integer") {
        return {std::nullopt, reason, ""};
    }
    return {std::nullopt, "",
            reason +
                ", which compressed-tensors cannot hold; expected a group_size that divides the "
                "columns"};
}

PackForm pack_form_of_unit(const ModelSpec& spec, const UnitSpec& unit,
                           std::span<const EncodedTensor> headers) {
    const auto name = [&](std::size_t i) { return spec.tensors[unit.tensors[i]].name; };
    const PackForm first = pack_form(spec, unit.tensors.front(), headers.front());
    bool fills_all = true;
    for (std::size_t i = 0; i < headers.size(); ++i) {
        const PackForm own = pack_form(spec, unit.tensors[i], headers[i]);
        if (!own.refusal.empty()) {
            return own;
        }
        if (own.scheme != first.scheme) {
            return {std::nullopt, "",
                    name(0) + " has " + describe(first) + ", " + name(i) + " has " + describe(own) +
                        "; vLLM runs them as one layer, which needs one setting for all"};
        }
        fills_all = fills_all && (!first.scheme || fills_words(headers[i], *first.scheme));
    }
    if (unit.tensors.size() > 1 && !fills_all) {
        return {std::nullopt, "the zeros of a layer that is run as one with others fill no words",
                ""};
    }
    return first;
}

UnitFate compressed_tensors_unit_fate(const ModelSpec& spec, const UnitSpec& unit,
                                      std::span<const EncodedTensor> headers) {
    const PackForm form = pack_form_of_unit(spec, unit, headers);
    if (!form.refusal.empty()) {
        return {UnitFate::Kind::refused, form.refusal};
    }
    return form.scheme ? UnitFate{} : UnitFate{UnitFate::Kind::dense, form.dense_reason};
}

}  // namespace lathe
