#pragma once

#include <cstdint>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// Bytes on disk of a compressed checkpoint beyond its tensors' payload, bounded from above: HDF5
/// metadata, master, index, copied config and tokenizer files. The constants are measured
/// (tests/orchestrator/container_size_test.cpp holds them against written files).
struct ContainerSize {
    /// What any checkpoint of this model costs, whatever the plan: everything but payloads.
    std::uint64_t fixed_bytes = 0;
    /// In addition for each unit under `setting`.
    [[nodiscard]] static std::uint64_t unit_bytes(const UnitSpec& unit, const Setting& setting);
    /// In addition for all tensors of no unit.
    [[nodiscard]] static std::uint64_t kept_bytes(const ModelSpec& spec, const Setting& setting);

    [[nodiscard]] static ContainerSize of(const ModelOutline& source);
};

/// Payload and container of the tensors of a unit, or of no unit, under a setting.
[[nodiscard]] std::uint64_t stored_unit_bytes(const ModelOutline& source, std::size_t unit,
                                              const Setting& setting);
[[nodiscard]] std::uint64_t stored_kept_bytes(const ModelOutline& source, const Setting& setting);

/// Payload and container of the whole output under a plan's choice.
[[nodiscard]] std::uint64_t predicted_output_bytes(const ModelOutline& source,
                                                   const std::vector<Setting>& choice);

}  // namespace lathe
