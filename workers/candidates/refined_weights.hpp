#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "workers/candidates/plan_weights.hpp"

namespace lathe {

/// Whether refinement changes the unit under this setting: its weights are compressed, it reads
/// activations, and nothing before it shares them (as the input of a tied embedding does).
[[nodiscard]] bool is_refined(const ModelSpec& spec, const UnitSpec& unit, const Setting& setting);

/// How far a unit is from the target it was solved for: as Candidate has it.
struct RefinedError {
    double error = 0.0;
    double relative_error = 0.0;
};
/// @throws DataError  if the artifact does not have the unit
[[nodiscard]] RefinedError read_refined_error(const std::filesystem::path& file,
                                              const std::string& unit);

/// The weights of a plan while they are refined: what is solved so far; what is still to be solved
/// as the source has it; the rest as the plan has it.
class PartlyRefined final : public EncodedWeights {
public:
    /// @pre  `context` outlives the object
    PartlyRefined(const JobContext& context, const std::vector<Setting>& choice);

    [[nodiscard]] EncodedTensor read(std::size_t index) const override;

    /// The tensors of a unit, solved.
    void take(std::size_t unit, std::vector<EncodedTensor> tensors, const RefinedError& error);

    /// Writes all that was taken: /tensors/NAME, each encoded; for each unit a group /units/NAME
    /// with attributes `error` and `relative_error`. @throws IoError
    void write(const std::filesystem::path& file, const std::string& fingerprint) const;

private:
    const JobContext& context_;
    PlanWeights plan_;
    std::vector<bool> is_open_;  ///< of each tensor: its unit is refined
    std::map<std::size_t, EncodedTensor> solved_;
    std::map<std::size_t, RefinedError> errors_;  ///< of units
};

}  // namespace lathe
