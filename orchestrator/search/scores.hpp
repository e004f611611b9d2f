#pragma once

#include <span>

#include "orchestrator/search/candidate_table.hpp"

namespace lathe {

/// Ways to predict what a candidate does to the model. Plans whose sums of scores are low should
/// diverge little; rank_correlation() tells how well that holds.

/// tr(dW G dW^T): says nothing across units, whose outputs have different scales.
[[nodiscard]] CandidateScores absolute_errors(const CandidateTable& table);

/// The share of the unit's output that is wrong.
[[nodiscard]] CandidateScores relative_errors(const CandidateTable& table);

/// What the candidate's error does to the model's output, mean KL(source || source with that unit
/// changed), nats: measured by tasks of the search stage on the first evaluation samples, one unit
/// at a time, under its smallest candidate and one of about a quarter of the source's bytes, and
/// under two that drop neurons if it has any (probes.hpp); for the others by their relative errors.
/// Rows before `first_row` and rows with nothing to choose are not measured: zeros.
[[nodiscard]] CandidateScores measured_divergences(JobRun& run, const CandidateTable& table,
                                                   std::size_t first_row = 0);

/// What the candidate's error does to the model's output, from its derivatives: half the sum over
/// the unit's outputs i of f_i e_i, where e_i is the mean squared error of the output and f_i the
/// second moment of the derivatives of -log p(label) by it, labels drawn from the model
/// (workers/calibration/output_gradients.hpp). That is the second-order expansion of mean KL(source
/// || changed source), nats, as if errors of different outputs and tokens were uncorrelated. The
/// moments come from tasks of a separate stage: one pass forwards and backwards over the first
/// calibration samples. Tensors of no unit have no outputs of their own: measured_divergences().
[[nodiscard]] CandidateScores gradient_weighted_errors(JobRun& run, const CandidateTable& table);

/// Spearman's rank correlation of two rows of numbers, ties with their mean rank, -1 to 1; NaN if
/// there are fewer than two or one row is constant.
[[nodiscard]] double rank_correlation(std::span<const double> a, std::span<const double> b);

}  // namespace lathe
