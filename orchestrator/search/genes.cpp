#include "orchestrator/search/genes.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

#include "lib/core/errors.hpp"
#include "workers/candidates/compression.hpp"

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

/// Units of one kind with the settings that all of them can have.
struct Kind {
    std::vector<std::size_t> units;
    std::vector<Setting> settings;
    std::vector<Option> options;  ///< of each setting: sums over the units
    bool has_ties = false;
};

void add(const Option& option, Option& sum) {
    sum.bytes += option.bytes;
    sum.score += option.score;
    sum.seconds += option.seconds;
}

void add_settings(const CandidateTable& table, const std::vector<std::vector<Option>>& options,
                  Kind& kind) {
    for (const Candidate& first : table[kind.units.front()]) {
        Option sum;
        bool all_have_it = true;
        for (const std::size_t u : kind.units) {
            const Candidate* candidate = find(table[u], first.setting);
            if (candidate == nullptr) {
                all_have_it = false;
                break;
            }
            add(options[u][static_cast<std::size_t>(candidate - table[u].data())], sum);
        }
        if (all_have_it) {
            kind.settings.push_back(first.setting);
            kind.options.push_back(sum);
            kind.has_ties |= !tie_of(first.setting).empty();
        }
    }
}

/// By group of blocks and name, in the order of their first units.
std::vector<std::pair<std::size_t, Kind>> kinds_of(const ModelSpec& spec,
                                                   const CandidateTable& table,
                                                   const std::vector<std::vector<Option>>& options,
                                                   std::size_t tied_blocks) {
    std::vector<std::pair<std::size_t, Kind>> kinds;
    std::map<std::tuple<std::size_t, std::string>, std::size_t> place;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const auto key = gene_of(spec.units[u], tied_blocks);
        const auto [found, is_new] = place.try_emplace(key, kinds.size());
        if (is_new) {
            kinds.push_back({std::get<0>(key), {}});
        }
        kinds[found->second].second.units.push_back(u);
    }
    kinds.push_back({0, {}});  // the tensors of no unit
    kinds.back().second.units.push_back(spec.units.size());
    for (auto& [group, kind] : kinds) {
        add_settings(table, options, kind);
    }
    return kinds;
}

Gene gene_of_one(const Kind& kind) {
    Gene gene{kind.units, std::vector<std::size_t>(kind.units.size(), 0), {}, kind.options};
    std::ranges::transform(kind.settings, std::back_inserter(gene.choices),
                           [](const Setting& setting) { return std::vector{setting}; });
    return gene;
}

/// All pairs of settings with the same tie.
Gene gene_of_two(const Kind& a, const Kind& b) {
    Gene gene{a.units, std::vector<std::size_t>(a.units.size(), 0), {}, {}};
    gene.units.insert(gene.units.end(), b.units.begin(), b.units.end());
    gene.kinds.resize(gene.units.size(), 1);
    for (std::size_t i = 0; i < a.settings.size(); ++i) {
        const std::string tie = tie_of(a.settings[i]);
        for (std::size_t j = 0; j < b.settings.size(); ++j) {
            if (tie_of(b.settings[j]) != tie) {
                continue;
            }
            Option both = a.options[i];
            add(b.options[j], both);
            if (!tie.empty()) {
                both.score = std::max(a.options[i].score, b.options[j].score);
            }
            gene.choices.push_back({a.settings[i], b.settings[j]});
            gene.options.push_back(both);
        }
    }
    return gene;
}

}  // namespace

std::optional<std::size_t> Gene::find(const std::vector<Setting>& plan) const {
    for (std::size_t choice = 0; choice < choices.size(); ++choice) {
        bool is_it = true;
        for (std::size_t i = 0; i < units.size() && is_it; ++i) {
            is_it = plan.at(units[i]) == setting(choice, i);
        }
        if (is_it) {
            return choice;
        }
    }
    return std::nullopt;
}

std::vector<Gene> make_genes(const ModelSpec& spec, const CandidateTable& table,
                             const std::vector<std::vector<Option>>& options,
                             std::size_t tied_blocks) {
    const auto kinds = kinds_of(spec, table, options, tied_blocks);
    std::vector<Gene> genes;
    std::vector<bool> done(kinds.size(), false);
    for (std::size_t k = 0; k < kinds.size(); ++k) {
        if (done[k]) {
            continue;
        }
        const auto& [group, kind] = kinds[k];
        std::size_t other = k + 1;
        while (other < kinds.size() &&
               !(kind.has_ties && kinds[other].second.has_ties && kinds[other].first == group)) {
            ++other;
        }
        if (other == kinds.size()) {
            genes.push_back(gene_of_one(kind));
        } else {
            genes.push_back(gene_of_two(kind, kinds[other].second));
            done[other] = true;
        }
    }
    return genes;
}

std::vector<Setting> choice_of(const std::vector<Gene>& genes,
                               const std::vector<std::size_t>& choices) {
    std::map<std::size_t, Setting> by_unit;
    for (std::size_t g = 0; g < genes.size(); ++g) {
        for (std::size_t i = 0; i < genes[g].units.size(); ++i) {
            by_unit.emplace(genes[g].units[i], genes[g].setting(choices.at(g), i));
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
        const auto own = gene.find(start);
        if (!own) {
            throw InternalError("a plan has a setting its units do not have");
        }
        if (std::ranges::find(levels, *own) == levels.end()) {
            const auto place = std::ranges::upper_bound(
                levels, gene.options[*own].bytes, {},
                [&](std::size_t choice) { return gene.options[choice].bytes; });
            levels.insert(place, *own);
        }
        start_.push_back(
            static_cast<std::size_t>(std::ranges::find(levels, *own) - levels.begin()));
        std::vector<Option>& options = pool_.genes.emplace_back();
        for (const std::size_t choice : levels) {
            options.push_back(gene.options[choice]);
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
    return std::ranges::all_of(genes,
                               [&](const Gene& gene) { return gene.find(choice).has_value(); });
}

}  // namespace lathe
