#include "orchestrator/search/scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "lib/core/json.hpp"
#include "orchestrator/search/plan_evaluation.hpp"
#include "orchestrator/search/probes.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/candidates/kept_tensors.hpp"
#include "workers/evaluation/variants.hpp"
#include "workers/network/forward.hpp"

namespace lathe {
namespace {

template <class Score>
CandidateScores score_each(const CandidateTable& table, const Score& score) {
    CandidateScores scores;
    for (const auto& unit : table) {
        std::ranges::transform(unit, std::back_inserter(scores.emplace_back()), score);
    }
    return scores;
}

/// Ranks from 1, ties with the mean of theirs.
std::vector<double> ranks_of(std::span<const double> values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
    std::vector<double> ranks(values.size());
    for (std::size_t first = 0; first < order.size();) {
        std::size_t end = first + 1;
        while (end < order.size() && values[order[end]] == values[order[first]]) {
            ++end;
        }
        for (std::size_t i = first; i < end; ++i) {
            ranks[order[i]] = static_cast<double>(first + 1 + end) / 2.0;
        }
        first = end;
    }
    return ranks;
}

/// Of a unit or, behind the last, of the tensors of no unit.
std::uint64_t source_bytes(const JobRun& run, std::size_t unit) {
    return unit < run.spec().units.size() ? predicted_bytes(run.source(), unit, source_setting())
                                          : kept_candidate(run.context(), source_setting()).bytes;
}

}  // namespace

CandidateScores absolute_errors(const CandidateTable& table) {
    return score_each(table, [](const Candidate& c) { return c.error; });
}

CandidateScores relative_errors(const CandidateTable& table) {
    return score_each(table, [](const Candidate& c) { return c.relative_error; });
}

CandidateScores measured_divergences(JobRun& run, const CandidateTable& table,
                                     std::size_t first_row) {
    constexpr std::size_t max_tokens = 2048;
    const TokenSequences& all = run.samples().evaluation;
    const TokenSequences samples = all.part(all.ranges(max_tokens).front());
    std::vector<std::vector<ProbeGroup>> groups;
    std::vector<Variant> variants;
    for (std::size_t u = 0; u < table.size(); ++u) {
        groups.emplace_back();
        if (u < first_row || table[u].size() < 2) {
            continue;
        }
        groups.back() = probe_groups(table[u], source_bytes(run, u));
        for (const ProbeGroup& group : groups.back()) {
            for (const Probe& probe : group.probes) {
                variants.push_back({{u, table[u][probe.candidate].setting}});
            }
        }
    }
    const std::vector<double> kl = divergences_of_variants(
        run, std::vector<Setting>(table.size(), source_setting()), variants, samples);
    CandidateScores scores;
    auto next = kl.begin();
    for (std::size_t u = 0; u < table.size(); ++u) {
        for (ProbeGroup& group : groups[u]) {
            for (Probe& probe : group.probes) {
                probe.kl = *next++;
            }
        }
        scores.push_back(divergences_by_probes(table[u], groups[u]));
    }
    return scores;
}

double rank_correlation(std::span<const double> a, std::span<const double> b) {
    const std::vector<double> x = ranks_of(a);
    const std::vector<double> y = ranks_of(b);
    const double mean = (static_cast<double>(x.size()) + 1.0) / 2.0;
    double xx = 0.0;
    double yy = 0.0;
    double xy = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        xx += (x[i] - mean) * (x[i] - mean);
        yy += (y[i] - mean) * (y[i] - mean);
        xy += (x[i] - mean) * (y[i] - mean);
    }
    return xx > 0.0 && yy > 0.0 ? xy / std::sqrt(xx * yy)
                                : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace lathe
