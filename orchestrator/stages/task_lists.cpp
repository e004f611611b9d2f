#include "orchestrator/stages/task_lists.hpp"

#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

std::vector<PipelineLink> pipeline_links(std::size_t begin, std::size_t end, int n_ranks) {
    const auto rank_of = [&](std::size_t block) {
        return static_cast<int>((block - begin) % static_cast<std::size_t>(n_ranks));
    };
    std::vector<PipelineLink> links;
    for (std::size_t block = begin; block < end; ++block) {
        links.push_back({block, rank_of(block), block == begin ? -1 : rank_of(block - 1),
                         block + 1 == end ? -1 : rank_of(block + 1)});
    }
    return links;
}

double compression_cost(const ModelSpec& spec, const UnitSpec& unit, std::size_t n_settings) {
    double cost = 0.0;
    for (const std::size_t t : unit.tensors) {
        const auto [rows, cols] = matrix_extents(spec.tensors[t].shape);
        const auto n = static_cast<double>(cols);
        cost += n * n * (n + static_cast<double>(rows * n_settings));
    }
    return cost;
}

double variants_cost(std::size_t n_units, std::span<const std::size_t> first_changes,
                     std::size_t tokens) {
    auto cost = static_cast<double>(n_units);
    for (const std::size_t first : first_changes) {
        cost += static_cast<double>(n_units - first);
    }
    return cost * static_cast<double>(tokens);
}

}  // namespace lathe
