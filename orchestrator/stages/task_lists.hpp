#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lib/job/candidate.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/candidates/unit_rows.hpp"
#include "workers/model/source_model.hpp"

// How stages cut their work into tasks: what a run and a simulation of one share.

namespace lathe {

/// A block's task in a pipeline of ranks.
struct PipelineLink {
    std::size_t block = 0;
    int rank = 0;
    int from = -1;  ///< rank of the block before; -1: the pipeline begins here
    int to = -1;    ///< rank of the next block; -1: it ends here
};

/// The ranks take the blocks from `begin` to `end` in turn, so that neighbours work side by side.
[[nodiscard]] std::vector<PipelineLink> pipeline_links(std::size_t begin, std::size_t end,
                                                       int n_ranks);

/// Cost of making `n_settings` candidates of some of a unit's rows, for the order of the tasks, and
/// of making a factor of its Gram matrix: operations.
[[nodiscard]] double rows_cost(const ModelSpec& spec, const UnitSpec& unit, std::size_t n_settings,
                               std::size_t n_rows);
[[nodiscard]] double factor_cost(const ModelSpec& spec, const UnitSpec& unit);
/// Of both, with all rows.
[[nodiscard]] double unit_cost(const ModelSpec& spec, const UnitSpec& unit, std::size_t n_settings);

/// Names of the tasks of a unit; what it is made in (cuts.size() > 1) comes first.
[[nodiscard]] std::string compression_id(const UnitSpec& unit);
[[nodiscard]] std::string piece_id(const UnitSpec& unit, UnitRows rows);
[[nodiscard]] std::string factor_id(const UnitSpec& unit, const ErrorFeedback& feedback);

/// What each unit's candidates are made in, a task each: all its rows or pieces_of() it. Those of a
/// unit that is a large part of all the work, with several ranks, so that no rank waits for the one
/// that has it; and of one that takes more than `memory_limit` bytes of a rank (0: no limit).
/// Candidates are the same bytes either way. `settings`: of each unit.
[[nodiscard]] std::vector<std::vector<UnitRows>> compression_pieces(
    const ModelOutline& model, std::span<const std::vector<Setting>> settings, int n_ranks,
    std::uint64_t memory_limit);

/// Tasks that a unit with these settings and pieces is made in.
[[nodiscard]] std::size_t n_compression_tasks(std::span<const Setting> settings,
                                              const std::vector<UnitRows>& pieces);

/// Variants of a plan in one task, at most, and tokens they are measured on: small enough to keep a
/// few ranks busy, large enough to share the loading of the plan.
inline constexpr std::size_t most_variants_per_task = 8;
inline constexpr std::size_t tokens_per_variants_task = 512;
/// Variants in one task, of so many that are each measured on `n_parts` parts of the samples: fewer
/// than the most if ranks would have nothing to do in the last round. A variant's answer does not
/// depend on those beside it.
[[nodiscard]] std::size_t variants_per_task(std::size_t n_variants, std::size_t n_parts,
                                            int n_ranks);

/// Chunks that the evaluation samples of each of some plans should make at least, so that every
/// rank has one.
[[nodiscard]] std::size_t chunks_wanted(std::size_t n_plans, int n_ranks);

/// Cost of such a task. The earlier a variant's first changed unit, the more blocks it walks by
/// itself. `first_changes`: of each variant; `n_units` if it changes nothing.
[[nodiscard]] double variants_cost(std::size_t n_units, std::span<const std::size_t> first_changes,
                                   std::size_t tokens);

}  // namespace lathe
