#include "orchestrator/container_size.hpp"

#include "workers/candidates/compression.hpp"
#include "workers/model/side_files.hpp"

namespace lathe {
namespace {

// Upper bounds, in bytes, of what HDF5 and the index add.
constexpr std::uint64_t file_overhead = 1024;
constexpr std::uint64_t group_overhead = 400;  // with its attributes, without its name
constexpr std::uint64_t attribute_overhead = 64;
constexpr std::uint64_t dataset_overhead = 320;
constexpr std::uint64_t index_entry = 128;
constexpr std::uint64_t plan_entry = 256;

}  // namespace

ContainerSize ContainerSize::of(const ModelOutline& source, const Setting& kept) {
    const ModelSpec& spec = source.spec;
    const std::uint64_t n_files = spec.n_blocks + 2;  // shards, the outer one, the master
    ContainerSize size;
    std::uint64_t side_entries = 16 * index_entry;
    if (const auto files = side_files(source.directory); files.size() > 12) {
        side_entries = (files.size() + 4) * index_entry;
    }
    size.fixed_bytes = n_files * (file_overhead + index_entry) + side_entries +
                       side_file_bytes(source.directory) + spec.units.size() * plan_entry +
                       (source.settled_config ? source.settled_config->size() : 0);
    for (const TensorSpec& tensor : spec.tensors) {
        size.fixed_bytes += group_overhead + dataset_overhead + tensor.name.size();
    }
    std::vector<bool> in_unit(spec.tensors.size(), false);
    for (const UnitSpec& unit : spec.units) {
        for (std::size_t t : unit.tensors) {
            in_unit[t] = true;
        }
    }
    const DType main = main_dtype(source);
    const ContainerParts parts = container_parts(kept);
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        if (in_unit[t]) {
            size.fixed_bytes += source.dtype(t) == main ? 0 : attribute_overhead;
        } else {
            size.fixed_bytes += kept_bytes(source, t, kept) + parts.groups * group_overhead +
                                parts.datasets * dataset_overhead +
                                (source.dtype(t) == main ? 0 : attribute_overhead);
        }
    }
    return size;
}

std::uint64_t ContainerSize::unit_bytes(const UnitSpec& unit, const Setting& setting) {
    const ContainerParts parts = container_parts(setting);
    return (parts.groups * group_overhead + parts.datasets * dataset_overhead) *
           unit.tensors.size();
}

std::uint64_t predicted_output_bytes(const ModelOutline& source, const std::vector<Setting>& choice,
                                     const Setting& kept) {
    std::uint64_t bytes = ContainerSize::of(source, kept).fixed_bytes;
    for (std::size_t u = 0; u < choice.size(); ++u) {
        bytes += predicted_bytes(source, u, choice[u]) +
                 ContainerSize::unit_bytes(source.spec.units[u], choice[u]);
    }
    return bytes;
}

}  // namespace lathe
