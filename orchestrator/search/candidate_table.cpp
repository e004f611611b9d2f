#include "orchestrator/search/candidate_table.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/candidates/compression.hpp"

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

}  // namespace

CandidateTable read_candidate_table(const JobRun& run) {
    CandidateTable table;
    for (std::size_t u = 0; u < run.spec().units.size(); ++u) {
        table.push_back(read_candidates(run.run().candidates(run.spec().units[u].name), u));
    }
    return table;
}

std::vector<Candidate> chosen_candidates(const CandidateTable& table,
                                         const std::vector<Setting>& choice) {
    std::vector<Candidate> chosen;
    for (std::size_t u = 0; u < table.size(); ++u) {
        const auto found = std::ranges::find(table[u], choice.at(u), &Candidate::setting);
        if (found == table[u].end()) {
            throw InternalError("unit " + std::to_string(u) + " has no candidate '" +
                                to_string(choice[u]) + "'");
        }
        chosen.push_back(*found);
    }
    return chosen;
}

std::optional<std::vector<Setting>> homogeneous_choice(const CandidateTable& table,
                                                       const Setting& setting) {
    std::vector<Setting> choice;
    for (const auto& unit : table) {
        const Candidate* best = nullptr;
        std::size_t best_difference = 0;
        for (const Candidate& c : unit) {
            if (c.setting.method != setting.method && unit.size() > 1) {
                continue;
            }
            const std::size_t difference = differing_values(setting, c.setting);
            if (best == nullptr || difference < best_difference ||
                (difference == best_difference &&
                 std::pair(c.bytes, c.relative_error) <
                     std::pair(best->bytes, best->relative_error))) {
                best = &c;
                best_difference = difference;
            }
        }
        if (best == nullptr) {
            return std::nullopt;
        }
        choice.push_back(best->setting);
    }
    return choice;
}

std::vector<Setting> distinct_settings(const CandidateTable& table) {
    std::vector<Setting> settings;
    for (const auto& unit : table) {
        for (const Candidate& c : unit) {
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
