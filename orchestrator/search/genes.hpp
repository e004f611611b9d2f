#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/model/model_spec.hpp"
#include "orchestrator/search/candidate_table.hpp"
#include "orchestrator/search/evolution.hpp"

namespace lathe {

/// Units that get one setting: a unit, or the units of one kind in neighbouring blocks.
struct Gene {
    std::vector<std::size_t> units;
    std::vector<Setting> settings;  ///< that each of the units can have
    std::vector<Option> options;    ///< of each setting: sums over the units
};

/// `tied_blocks` neighbouring blocks share their settings; the last group has as many as are left.
/// 1: every unit has its own. Units outside the blocks always have. `options` are those of the
/// units.
[[nodiscard]] std::vector<Gene> make_genes(const ModelSpec& spec, const CandidateTable& table,
                                           const std::vector<std::vector<Option>>& options,
                                           std::size_t tied_blocks);

/// A setting for each unit, from a setting for each gene.
[[nodiscard]] std::vector<Setting> choice_of(const std::vector<Gene>& genes,
                                             const std::vector<std::size_t>& settings);

/// Genes with the levels an evolution may choose from, by increasing bytes: what is undominated()
/// of each, and what `start` has.
class GeneLevels {
public:
    /// @pre every unit of a gene has the same setting in `start`
    GeneLevels(const std::vector<Gene>& genes, const std::vector<Setting>& start,
               const SearchLimits& limits);

    [[nodiscard]] const GenePool& pool() const { return pool_; }
    [[nodiscard]] const Genome& start() const { return start_; }
    [[nodiscard]] std::vector<Setting> choice(const Genome& genome) const;

private:
    const std::vector<Gene>& genes_;
    std::vector<std::vector<std::size_t>> levels_;  ///< of each gene: indices of its settings
    GenePool pool_;
    Genome start_;
};

/// Whether all units of each gene have the same setting.
[[nodiscard]] bool is_tied(const std::vector<Gene>& genes, const std::vector<Setting>& choice);

}  // namespace lathe
