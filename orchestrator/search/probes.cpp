#include "orchestrator/search/probes.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "workers/candidates/compression.hpp"

namespace lathe {
namespace {

std::vector<Probe> probes_among(const std::vector<Candidate>& candidates,
                                const std::vector<std::size_t>& group, std::uint64_t source_bytes) {
    const auto by_size = [&](std::size_t i) {
        return std::tuple(candidates[i].bytes, candidates[i].relative_error);
    };
    const auto by_fit = [&](std::size_t i) {
        const std::uint64_t bytes = candidates[i].bytes;
        const bool fits = 4 * bytes <= source_bytes;
        // Those that fit first, the larger the better; then the smallest of the others.
        return std::tuple(!fits, fits ? source_bytes - bytes : bytes, candidates[i].relative_error);
    };
    const std::size_t smallest = *std::ranges::min_element(group, {}, by_size);
    const std::size_t quarter = *std::ranges::min_element(group, {}, by_fit);
    return smallest == quarter ? std::vector<Probe>{{smallest}}
                               : std::vector<Probe>{{smallest}, {quarter}};
}

double divergence_at(double error, const std::vector<Candidate>& candidates,
                     const std::vector<Probe>& probes) {
    const auto in_proportion = [&](const Probe& probe) {
        const double e = candidates[probe.candidate].relative_error;
        return e > 0.0 ? probe.kl * error / e : 0.0;
    };
    const Probe& worst = probes.front();
    const Probe& better = probes.back();
    const double high = candidates[worst.candidate].relative_error;
    const double low = candidates[better.candidate].relative_error;
    if (error >= high || worst.kl <= 0.0 || better.kl <= 0.0 || low <= 0.0) {
        return in_proportion(worst);
    }
    if (error <= low || high <= low) {
        return in_proportion(better);
    }
    const double exponent = std::log(worst.kl / better.kl) / std::log(high / low);
    return better.kl * std::pow(error / low, exponent);
}

}  // namespace

std::vector<ProbeGroup> probe_groups(const std::vector<Candidate>& candidates,
                                     std::uint64_t source_bytes) {
    ProbeGroup whole;
    ProbeGroup dropping;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        (tie_of(candidates[i].setting).empty() ? whole : dropping).candidates.push_back(i);
    }
    std::vector<ProbeGroup> groups;
    for (ProbeGroup* group : {&whole, &dropping}) {
        if (!group->candidates.empty()) {
            group->probes = probes_among(candidates, group->candidates, source_bytes);
            groups.push_back(std::move(*group));
        }
    }
    return groups;
}

std::vector<double> divergences_by_probes(const std::vector<Candidate>& candidates,
                                          const std::vector<ProbeGroup>& groups) {
    std::vector<double> divergences(candidates.size(), 0.0);
    for (const ProbeGroup& group : groups) {
        for (const std::size_t i : group.candidates) {
            divergences[i] = divergence_at(candidates[i].relative_error, candidates, group.probes);
        }
    }
    return divergences;
}

}  // namespace lathe
