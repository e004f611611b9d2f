#include "orchestrator/search/candidate_table.hpp"

#include <algorithm>
#include <tuple>

#include "lib/core/errors.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/candidates/kept_tensors.hpp"

namespace lathe {
namespace {

std::size_t differing_values(const Setting& a, const Setting& b) {
    std::size_t n = 0;
    for (const auto& [key, value] : a.values) {
        const auto found = b.values.find(key);
        n += found == b.values.end() || found->second != value;
    }
    return n;
}

/// Of the same method, or the only one there is; else none.
const Candidate* most_like(const Setting& setting, const std::vector<Candidate>& candidates) {
    const auto distance = [&](const Candidate& c) {
        return std::tuple(differing_values(setting, c.setting), c.bytes, c.relative_error);
    };
    const Candidate* best = nullptr;
    for (const Candidate& c : candidates) {
        const bool is_possible = c.setting.method == setting.method || candidates.size() == 1;
        if (is_possible && (best == nullptr || distance(c) < distance(*best))) {
            best = &c;
        }
    }
    return best;
}

}  // namespace

CandidateTable read_candidate_table(const JobRun& run) {
    CandidateTable table;
    for (std::size_t u = 0; u < run.spec().units.size(); ++u) {
        table.push_back(read_candidates(run.run().candidates(run.spec().units[u].name), u));
    }
    std::vector<Candidate>& kept = table.emplace_back();
    for (const Setting& setting : kept_settings(run.context())) {
        kept.push_back(kept_candidate(run.context(), setting));
    }
    return table;
}

std::vector<Candidate> chosen_candidates(const CandidateTable& table,
                                         const std::vector<Setting>& choice) {
    std::vector<Candidate> chosen;
    for (std::size_t u = 0; u < table.size(); ++u) {
        const auto found = std::ranges::find(table[u], choice.at(u), &Candidate::setting);
        if (found == table[u].end()) {
            throw InternalError("unit " + std::to_string(u) + " of a plan has no candidate '" +
                                to_string(choice[u]) + "'");
        }
        chosen.push_back(*found);
    }
    return chosen;
}

std::optional<std::vector<Setting>> homogeneous_choice(const CandidateTable& table,
                                                       const Setting& setting) {
    std::vector<Setting> choice;
    for (std::size_t row = 0; row < table.size(); ++row) {
        const bool is_kept = row + 1 == table.size();
        const Candidate* const best = most_like(setting, table[row]);
        if (best == nullptr && !is_kept) {
            return std::nullopt;
        }
        choice.push_back(best == nullptr ? table[row].front().setting : best->setting);
    }
    return choice;
}

std::vector<Setting> distinct_settings(const CandidateTable& table) {
    std::vector<Setting> settings;
    for (std::size_t u = 0; u + 1 < table.size(); ++u) {
        for (const Candidate& c : table[u]) {
            if (std::ranges::find(settings, c.setting) == settings.end()) {
                settings.push_back(c.setting);
            }
        }
    }
    return settings;
}

std::vector<std::vector<Option>> options_of(const PlanSize& size, const CandidateTable& table,
                                            const CandidateScores& scores,
                                            const std::vector<std::vector<double>>& seconds) {
    std::vector<std::vector<Option>> options;
    for (std::size_t u = 0; u < table.size(); ++u) {
        std::vector<Option>& unit = options.emplace_back();
        for (std::size_t c = 0; c < table[u].size(); ++c) {
            const Candidate& candidate = table[u][c];
            unit.push_back({size.unit_bytes(u, candidate.setting), scores[u][c],
                            seconds.empty() ? 0.0 : seconds[u][c]});
        }
    }
    return options;
}

}  // namespace lathe
