#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/model/model_spec.hpp"
#include "orchestrator/search/candidate_table.hpp"
#include "orchestrator/search/evolution.hpp"

namespace lathe {

/// Units that are chosen for together: a unit, or the units of one kind in neighbouring blocks, and
/// with them those of a kind that they are tied to (MethodRow::tie).
struct Gene {
    std::vector<std::size_t> units;
    std::vector<std::size_t> kinds;             ///< of each unit, 0 or 1
    std::vector<std::vector<Setting>> choices;  ///< each a setting of each kind
    std::vector<Option> options;                ///< of each choice: sums over the units

    /// What a choice gives the unit at this place.
    [[nodiscard]] const Setting& setting(std::size_t choice, std::size_t place) const {
        return choices.at(choice).at(kinds.at(place));
    }
    /// The choice that a plan has; none if its settings cannot stand together.
    [[nodiscard]] std::optional<std::size_t> find(const std::vector<Setting>& plan) const;
};

/// `tied_blocks` neighbouring blocks share their settings; the last group has as many as are left.
/// 1: every unit has its own, unless the ties of its candidates join it to another of its block.
/// Units outside the blocks always have, and so have the tensors of no unit, which stand here as
/// one more unit. `options` are those of the units. Where settings are tied both lack the same
/// neurons: their scores do not add up, the higher counts.
[[nodiscard]] std::vector<Gene> make_genes(const ModelSpec& spec, const CandidateTable& table,
                                           const std::vector<std::vector<Option>>& options,
                                           std::size_t tied_blocks);

/// A setting for each unit, from a choice for each gene.
[[nodiscard]] std::vector<Setting> choice_of(const std::vector<Gene>& genes,
                                             const std::vector<std::size_t>& choices);

/// Genes with the levels an evolution may choose from, by increasing bytes: what is undominated()
/// of each, and what `start` has.
class GeneLevels {
public:
    /// @pre is_tied(genes, start)
    GeneLevels(const std::vector<Gene>& genes, const std::vector<Setting>& start,
               const SearchLimits& limits);

    [[nodiscard]] const GenePool& pool() const { return pool_; }
    [[nodiscard]] const Genome& start() const { return start_; }
    [[nodiscard]] std::vector<Setting> choice(const Genome& genome) const;

private:
    const std::vector<Gene>& genes_;
    std::vector<std::vector<std::size_t>> levels_;  ///< of each gene: indices of its choices
    GenePool pool_;
    Genome start_;
};

/// Whether the settings of each gene's units are one of its choices.
[[nodiscard]] bool is_tied(const std::vector<Gene>& genes, const std::vector<Setting>& choice);

}  // namespace lathe
