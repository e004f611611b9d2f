#include "orchestrator/stages/task_lists.hpp"

#include <algorithm>
#include <numeric>

#include "lib/encoding/encoded_tensor.hpp"
#include "orchestrator/estimate/rank_memory.hpp"

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

namespace {

double columns_of(const ModelSpec& spec, const UnitSpec& unit) {
    return static_cast<double>(matrix_extents(spec.tensors[unit.tensors.front()].shape).second);
}

}  // namespace

double rows_cost(const ModelSpec& spec, const UnitSpec& unit, std::size_t n_settings,
                 std::size_t n_rows) {
    const double n = columns_of(spec, unit);
    return n * n * static_cast<double>(n_rows * n_settings);
}

double factor_cost(const ModelSpec& spec, const UnitSpec& unit) {
    const double n = columns_of(spec, unit);
    return n * n * n;
}

double unit_cost(const ModelSpec& spec, const UnitSpec& unit, std::size_t n_settings) {
    return factor_cost(spec, unit) + rows_cost(spec, unit, n_settings, row_count(spec, unit));
}

std::string compression_id(const UnitSpec& unit) {
    return "compress/" + unit.name;
}

std::string piece_id(const UnitSpec& unit, UnitRows rows) {
    return compression_id(unit) + "/row_" + std::to_string(rows.first);
}

std::string factor_id(const UnitSpec& unit, const ErrorFeedback& feedback) {
    return "factor/" + unit.name + "/" + to_string(feedback);
}

namespace {

/// The most rows of a unit whose compression takes no more than the limit; at least one.
std::size_t rows_within(const ModelOutline& model, std::size_t unit,
                        const std::vector<Setting>& settings, std::uint64_t memory_limit) {
    const std::size_t all = row_count(model.spec, model.spec.units[unit]);
    const auto fits = [&](std::size_t rows) {
        return RankMemory::compress(model, unit, settings, {0, rows}) + RankMemory::process_bytes <=
               memory_limit;
    };
    std::size_t rows = fits(all) ? all : 1;
    for (std::size_t above = all; rows + 1 < above;) {  // `above` rows do not fit
        const std::size_t middle = rows + (above - rows) / 2;
        (fits(middle) ? rows : above) = middle;
    }
    return rows;
}

}  // namespace

std::vector<std::vector<UnitRows>> compression_pieces(
    const ModelOutline& model, std::span<const std::vector<Setting>> settings, int n_ranks,
    std::uint64_t memory_limit) {
    const ModelSpec& spec = model.spec;
    std::vector<double> costs;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        costs.push_back(unit_cost(spec, spec.units[u], settings[u].size()));
    }
    const double large =
        std::accumulate(costs.begin(), costs.end(), 0.0) / (8.0 * static_cast<double>(n_ranks));
    std::vector<std::vector<UnitRows>> pieces;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const UnitSpec& unit = spec.units[u];
        const UnitRows all{0, row_count(spec, unit)};
        const bool is_shared = n_ranks > 1 && costs[u] > large;
        const std::size_t most =
            memory_limit == 0 ? all.count : rows_within(model, u, settings[u], memory_limit);
        pieces.push_back(is_shared || most < all.count ? pieces_of(spec, unit, settings[u], most)
                                                       : std::vector{all});
    }
    return pieces;
}

std::size_t n_compression_tasks(std::span<const Setting> settings,
                                const std::vector<UnitRows>& pieces) {
    if (pieces.size() == 1) {
        return 1;
    }
    return shared_factors(settings).value().feedbacks.size() + pieces.size() + 1;
}

std::size_t variants_per_task(std::size_t n_variants, std::size_t n_parts, int n_ranks) {
    const auto ranks = static_cast<std::size_t>(n_ranks);
    if (ranks == 1 || n_variants == 0) {
        return most_variants_per_task;
    }
    // As many rounds as the largest tasks would take, but all ranks busy in each.
    const std::size_t all = n_variants * n_parts;
    const std::size_t per_round = ranks * most_variants_per_task;
    const std::size_t slots = ranks * ((all + per_round - 1) / per_round);
    return (all + slots - 1) / slots;
}

std::size_t chunks_wanted(std::size_t n_plans, int n_ranks) {
    const std::size_t plans = std::max<std::size_t>(1, n_plans);
    return (static_cast<std::size_t>(n_ranks) + plans - 1) / plans;
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
