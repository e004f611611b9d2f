#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "orchestrator/container_size.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// What a plan takes of the budget: our own checkpoint or, in a job with `serve`, the directory in
/// the program's format. A sum over the units, so that a knapsack can choose: bounds from above, by
/// a small part of a per cent. exact_bytes() says what an export will take, to the byte.
class PlanSize {
public:
    /// @pre  require_servable() passed
    [[nodiscard]] static PlanSize of(const JobContext& context, const ModelOutline& model);

    /// What there is under any plan.
    [[nodiscard]] std::uint64_t fixed_bytes() const { return fixed_; }
    /// Of a unit under one of its settings, settings_of_unit(); of the tensors of no unit where
    /// `unit` is the number of units.
    [[nodiscard]] std::uint64_t unit_bytes(std::size_t unit, const Setting& setting) const;
    /// `choice`: Plan::choice.
    [[nodiscard]] std::uint64_t bytes(const std::vector<Setting>& choice) const;
    /// As the export's own writer counts them; of our own checkpoint the same as bytes().
    [[nodiscard]] std::uint64_t exact_bytes(const std::vector<Setting>& choice) const;

private:
    using Headers = std::vector<EncodedTensor>;

    PlanSize(const JobContext& context, const ModelOutline& model);
    void count_export();
    /// Of a unit's tensors, dense: none, or what is left where its settings drop neurons.
    [[nodiscard]] Headers without_codes(std::size_t unit) const;
    /// Of all tensors; those of units that choose() gives none are dense.
    template <class Choose>
    [[nodiscard]] Headers headers_under(const Choose& choose) const;

    std::string format_;  ///< "": our own
    const ModelOutline* model_;
    std::uint64_t fixed_ = 0;
    // Of another format only:
    std::vector<std::vector<Setting>> settings_;  ///< of each unit
    std::vector<std::map<Setting, std::uint64_t>> units_;
};

}  // namespace lathe
