#pragma once

#include <compare>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "workers/exports/export_format.hpp"

namespace lathe {

// What becomes of a tensor in format "compressed-tensors": the part of the export that is known
// from encodings, shapes and settings.

/// One entry of config_groups. group_size 0: one group a row, strategy "channel".
struct PackScheme {
    unsigned num_bits = 0;
    std::size_t group_size = 0;
    bool symmetric = true;

    auto operator<=>(const PackScheme&) const = default;
};

/// Codes under a scheme, or dense, for a reason if the tensor was compressed.
struct PackForm {
    std::optional<PackScheme> scheme;
    std::string dense_reason;
    std::string refusal;  ///< not "": the format cannot hold it, with codes or without
};

[[nodiscard]] std::string describe(const PackForm& form);

/// Of tensor `t`, with this header.
[[nodiscard]] PackForm pack_form(const ModelSpec& spec, std::size_t t, const EncodedTensor& header);

/// What the tensors of a unit have in common; `headers`: of each of them. Refused if they differ:
/// vLLM runs them as one layer.
[[nodiscard]] PackForm pack_form_of_unit(const ModelSpec& spec, const UnitSpec& unit,
                                         std::span<const EncodedTensor> headers);

/// ExportFormat::unit_fate.
[[nodiscard]] UnitFate compressed_tensors_unit_fate(const ModelSpec& spec, const UnitSpec& unit,
                                                    std::span<const EncodedTensor> headers);

}  // namespace lathe
