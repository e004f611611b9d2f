#include "orchestrator/container_size.hpp"

#include "workers/candidates/compression.hpp"
#include "workers/candidates/kept_tensors.hpp"
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

std::uint64_t overhead_of_parts(const Setting& setting) {
    const ContainerParts parts = container_parts(setting);
    return parts.groups * group_overhead + parts.datasets * dataset_overhead;
}

}  // namespace

ContainerSize ContainerSize::of(const ModelOutline& source) {
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
    const DType main = main_dtype(source);
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        size.fixed_bytes += source.dtype(t) == main ? 0 : attribute_overhead;
    }
    return size;
}

std::uint64_t ContainerSize::unit_bytes(const UnitSpec& unit, const Setting& setting) {
    return overhead_of_parts(setting) * unit.tensors.size();
}

std::uint64_t ContainerSize::kept_bytes(const ModelSpec& spec, const Setting& setting) {
    return overhead_of_parts(setting) * kept_tensors(spec).size();
}

std::uint64_t stored_unit_bytes(const ModelOutline& source, std::size_t unit,
                                const Setting& setting) {
    return predicted_bytes(source, unit, setting) +
           ContainerSize::unit_bytes(source.spec.units.at(unit), setting);
}

std::uint64_t stored_kept_bytes(const ModelOutline& source, const Setting& setting) {
    std::uint64_t bytes = ContainerSize::kept_bytes(source.spec, setting);
    for (const std::size_t t : kept_tensors(source.spec)) {
        bytes += kept_bytes(source, t, setting);
    }
    return bytes;
}

std::uint64_t predicted_output_bytes(const ModelOutline& source,
                                     const std::vector<Setting>& choice) {
    std::uint64_t bytes =
        ContainerSize::of(source).fixed_bytes + stored_kept_bytes(source, choice.back());
    for (std::size_t u = 0; u < source.spec.units.size(); ++u) {
        bytes += stored_unit_bytes(source, u, choice.at(u));
    }
    return bytes;
}

}  // namespace lathe
