#pragma once

#include <cstdint>
#include <vector>

#include "orchestrator/search/candidate_table.hpp"

namespace lathe {

/// A candidate of a unit, by its place among them, under which the unit alone was tried.
struct Probe {
    std::size_t candidate = 0;
    double kl = 0.0;  ///< of the model with this unit changed and no other
};

/// Candidates of a unit whose errors tell of one another, and those of them to try. What drops
/// neurons is a group of its own: what is missing harms in another way than what is rounded.
struct ProbeGroup {
    std::vector<std::size_t> candidates;
    /// The smallest of the group, and the largest of at most a quarter of the source's bytes; one
    /// if they are the same.
    std::vector<Probe> probes;
};

[[nodiscard]] std::vector<ProbeGroup> probe_groups(const std::vector<Candidate>& candidates,
                                                   std::uint64_t source_bytes);

/// Divergence under each candidate by its relative error: between its group's probes by a power
/// law, beyond them in proportion.
[[nodiscard]] std::vector<double> divergences_by_probes(const std::vector<Candidate>& candidates,
                                                        const std::vector<ProbeGroup>& groups);

}  // namespace lathe
