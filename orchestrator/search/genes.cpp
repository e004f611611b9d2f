#include "orchestrator/search/genes.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

/// What the units of a gene have in common: a group of blocks and the name within a block.
std::tuple<std::size_t, std::string> gene_of(const UnitSpec& unit, std::size_t tied_blocks) {
    if (!unit.block) {
        return {0, unit.name};
    }
    return {*unit.block / tied_blocks + 1, unit.name.substr(unit.name.find('.') + 1)};
}

const Candidate* find(const std::vector<Candidate>& candidates, const Setting& setting) {
    const auto found = std::ranges::find(candidates, setting, &Candidate::setting);
    return found == candidates.end() ? nullptr : &*found;
}

void add_settings(const CandidateTable& table, const std::vector<std::vector<Option>>& options,
                  Gene& gene) {
    for (const Candidate& first : table[gene.units.front()]) {
        Option sum;
        bool all_have_it = true;
        for (const std::size_t u : gene.units) {
            const Candidate* candidate = find(table[u], first.setting);
            if (candidate == nullptr) {
                all_have_it = false;
                break;
            }
            const Option& option =
                options[u][static_cast<std::size_t>(candidate - table[u].data())];
            sum.bytes += option.bytes;
            sum.score += option.score;
            sum.seconds += option.seconds;
        }
        if (all_have_it) {
            gene.settings.push_back(first.setting);
            gene.options.push_back(sum);
        }
    }
}

}  // namespace

std::vector<Gene> make_genes(const ModelSpec& spec, const CandidateTable& table,
                             const std::vector<std::vector<Option>>& options,
                             std::size_t tied_blocks) {
    std::vector<Gene> genes;
    std::map<std::tuple<std::size_t, std::string>, std::size_t> place;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const auto [found, is_new] =
            place.try_emplace(gene_of(spec.units[u], tied_blocks), genes.size());
        if (is_new) {
            genes.emplace_back();
        }
        genes[found->second].units.push_back(u);
    }
    for (Gene& gene : genes) {
        add_settings(table, options, gene);
    }
    return genes;
}

std::vector<Setting> choice_of(const std::vector<Gene>& genes,
                               const std::vector<std::size_t>& settings) {
    std::map<std::size_t, Setting> by_unit;
    for (std::size_t g = 0; g < genes.size(); ++g) {
        for (const std::size_t u : genes[g].units) {
            by_unit.emplace(u, genes[g].settings.at(settings.at(g)));
        }
    }
    std::vector<Setting> choice;
    for (auto& [unit, setting] : by_unit) {
        choice.push_back(std::move(setting));
    }
    return choice;
}

GeneLevels::GeneLevels(const std::vector<Gene>& genes, const std::vector<Setting>& start,
                       const SearchLimits& limits)
    : genes_(genes) {
    pool_.limits = limits;
    for (const Gene& gene : genes) {
        std::vector<std::size_t> levels = undominated(gene.options);
        const auto own = std::ranges::find(gene.settings, start.at(gene.units.front()));
        if (own == gene.settings.end()) {
            throw InternalError("a plan has a setting its units do not have");
        }
        const auto own_setting = static_cast<std::size_t>(own - gene.settings.begin());
        if (std::ranges::find(levels, own_setting) == levels.end()) {
            const auto place = std::ranges::upper_bound(
                levels, gene.options[own_setting].bytes, {},
                [&](std::size_t setting) { return gene.options[setting].bytes; });
            levels.insert(place, own_setting);
        }
        start_.push_back(
            static_cast<std::size_t>(std::ranges::find(levels, own_setting) - levels.begin()));
        std::vector<Option>& options = pool_.genes.emplace_back();
        for (const std::size_t setting : levels) {
            options.push_back(gene.options[setting]);
        }
        levels_.push_back(std::move(levels));
    }
}

std::vector<Setting> GeneLevels::choice(const Genome& genome) const {
    std::vector<std::size_t> settings;
    for (std::size_t g = 0; g < genome.size(); ++g) {
        settings.push_back(levels_[g].at(genome[g]));
    }
    return choice_of(genes_, settings);
}

bool is_tied(const std::vector<Gene>& genes, const std::vector<Setting>& choice) {
    return std::ranges::all_of(genes, [&](const Gene& gene) {
        return std::ranges::all_of(gene.units, [&](std::size_t u) {
            return choice.at(u) == choice.at(gene.units.front());
        });
    });
}

}  // namespace lathe
