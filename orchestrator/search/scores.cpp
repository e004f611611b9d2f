#include "orchestrator/search/scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

#include "lib/core/json.hpp"
#include "orchestrator/search/plan_evaluation.hpp"
#include "workers/candidates/compression.hpp"
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

/// A candidate a unit was tried under.
struct Probe {
    const Candidate* candidate = nullptr;
    double kl = 0.0;  ///< of the model with this unit changed and no other
};

/// The candidates to try a unit under: the largest of at most a quarter of its source's bytes, and
/// the smallest of all; by increasing bytes, one if they are the same.
std::vector<Probe> probes_of(const JobRun& run, const std::vector<Candidate>& candidates) {
    const std::uint64_t source =
        predicted_bytes(run.source(), candidates.front().unit, source_setting());
    const auto by_size = [](const Candidate& c) { return std::tuple(c.bytes, c.relative_error); };
    const auto by_fit = [&](const Candidate& c) {
        const bool fits = 4 * c.bytes <= source;
        // Those that fit first, the larger the better; then the smallest of the others.
        return std::tuple(!fits, fits ? source - c.bytes : c.bytes, c.relative_error);
    };
    const Candidate* smallest = &*std::ranges::min_element(candidates, {}, by_size);
    const Candidate* quarter = &*std::ranges::min_element(candidates, {}, by_fit);
    return smallest == quarter ? std::vector<Probe>{{smallest}}
                               : std::vector<Probe>{{smallest}, {quarter}};
}

/// Divergence at a relative error: between two probes by a power law, beyond them in proportion.
double divergence_at(double error, const std::vector<Probe>& probes) {
    const auto in_proportion = [&](const Probe& probe) {
        const double e = probe.candidate->relative_error;
        return e > 0.0 ? probe.kl * error / e : 0.0;
    };
    const Probe& worst = probes.front();
    const Probe& better = probes.back();
    const double high = worst.candidate->relative_error;
    const double low = better.candidate->relative_error;
    if (error >= high || worst.kl <= 0.0 || better.kl <= 0.0 || low <= 0.0) {
        return in_proportion(worst);
    }
    if (error <= low || high <= low) {
        return in_proportion(better);
    }
    const double exponent = std::log(worst.kl / better.kl) / std::log(high / low);
    return better.kl * std::pow(error / low, exponent);
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

}  // namespace

CandidateScores absolute_errors(const CandidateTable& table) {
    return score_each(table, [](const Candidate& c) { return c.error; });
}

CandidateScores relative_errors(const CandidateTable& table) {
    return score_each(table, [](const Candidate& c) { return c.relative_error; });
}

CandidateScores measured_divergences(JobRun& run, const CandidateTable& table) {
    constexpr std::size_t max_tokens = 2048;
    const TokenSequences& all = run.samples().evaluation;
    const TokenSequences samples = all.part(all.ranges(max_tokens).front());
    std::vector<std::vector<Probe>> probes;
    std::vector<Variant> variants;
    for (std::size_t u = 0; u < table.size(); ++u) {
        for (const Probe& probe : probes.emplace_back(probes_of(run, table[u]))) {
            variants.push_back({{u, probe.candidate->setting}});
        }
    }
    const std::vector<double> kl = divergences_of_variants(
        run, std::vector<Setting>(table.size(), source_setting()), variants, samples);
    CandidateScores scores = relative_errors(table);
    auto next = kl.begin();
    for (std::size_t u = 0; u < table.size(); ++u) {
        for (Probe& probe : probes[u]) {
            probe.kl = *next++;
        }
        for (double& score : scores[u]) {
            score = divergence_at(score, probes[u]);
        }
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
