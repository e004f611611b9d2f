#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/job/candidate.hpp"
#include "methods/dense.hpp"
#include "workers/candidates/unit_factor.hpp"
#include "workers/candidates/unit_rows.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// Makes all candidates of one unit: RunDirectory::candidates() of its name, with a group for each
/// setting, named 0, 1, ..., that has attributes `setting` (text form), `bytes`, `error`,
/// `relative_error`, a dataset `output_errors` (read_output_errors()) and a group for each tensor,
/// named by its place in the unit (0, 1, ...): the tensor encoded. What a setting left open
/// (UnitSolution::settled) stands there settled. What equals the source is not stored again: its
/// group has neither.
///
/// A large unit may be cut (pieces_of()): a task with `rows` makes the candidates of these rows,
/// RunDirectory::candidate_piece(), and one with `pieces` joins what such tasks made, to the same
/// bytes as one for the whole unit. In a piece's file a group has, in place of the attributes
/// `bytes`, `error` and `relative_error` and of `output_errors`, `row_errors` and, of a table that
/// is looked up, `lookup_errors`; the file has `row_energies`, each row's error were it 0.
struct CompressionTask {
    std::size_t unit = 0;
    std::vector<Setting> settings;
    std::string fingerprint;
    UnitRows rows = {};                 ///< none: all
    std::vector<UnitRows> pieces = {};  ///< to be joined; empty: nothing is
    /// Of a piece: what is stored for it. Of a join: what is of no more use, and is removed.
    std::vector<UnitFactor> factors = {};
};

[[nodiscard]] std::string to_json(const CompressionTask& task);
[[nodiscard]] CompressionTask compression_task_from_json(const std::string& text);

void run_compression(const JobContext& context, const CompressionTask& task);

/// The settings that can be used for a unit: all that its method does not refuse; for a unit that
/// `ignore` names only the source's own, and so if calibration shows that it can have none of those
/// whose targets name it. @throws UsageError  if that is known before
[[nodiscard]] std::vector<Setting> usable_settings(const JobContext& context, std::size_t unit);
/// @throws UsageError  for a key `targets` of a candidate that names no unit; for a candidate that
///   suits none of the units it is for
void require_candidates_of_use(const JobContext& context, const ModelOutline& model);
/// The same for a unit of another model than the context's, such as one still to be sliced.
[[nodiscard]] std::vector<Setting> usable_settings(const JobContext& context,
                                                   const ModelOutline& model, std::size_t unit);

/// Settings of candidates that calibration shows to suit no unit: a line for each.
[[nodiscard]] std::vector<std::string> candidates_of_no_use(const JobContext& context);

/// What each tensor of a unit has under a setting, without its parts; empty if only the solution
/// says it (MethodRow::outline).
[[nodiscard]] std::vector<EncodedTensor> unit_outlines(const ModelSpec& spec, const UnitSpec& unit,
                                                       const Setting& setting);

/// How many neurons a setting that drops some leaves in its layer, "1152 neurons" (MethodRow::tie);
/// "": it drops none.
[[nodiscard]] std::string neurons_left(const Setting& setting);

/// Payload bytes of a unit under a setting, before any work is done.
[[nodiscard]] std::uint64_t predicted_bytes(const ModelOutline& source, std::size_t unit,
                                            const Setting& setting);

/// Rough number of floating-point operations that solving the unit under the setting takes.
[[nodiscard]] double predicted_flops(const ModelOutline& source, std::size_t unit,
                                     const Setting& setting);

}  // namespace lathe
