#pragma once

#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/job/job_context.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// A unit of a plan under another setting; the tensors of no unit stand behind the last one.
struct UnitChange {
    std::size_t unit = 0;
    Setting setting;
    bool operator==(const UnitChange&) const = default;
};

/// A plan with some of its units changed; none: the plan itself.
using Variant = std::vector<UnitChange>;

/// How far variants of one plan are from the source on some samples.
struct VariantTask {
    std::vector<Setting> base;  ///< Plan::choice
    std::vector<Variant> variants;
    TokenSequences samples;
};

/// A task has at most so many variants: memory must not grow with the number of blocks.
inline constexpr std::size_t max_variants = 16;

[[nodiscard]] std::string to_json(const VariantTask& task);
[[nodiscard]] VariantTask variant_task_from_json(const std::string& text);

/// Whether a plan leaves every tensor as it is in the source. Its variants are measured against
/// what it gives itself, without a reference (evaluation.hpp).
[[nodiscard]] bool is_source(const std::vector<Setting>& plan);

/// For each variant the sum over all of the head's rows of KL(source || variant), nats. The source
/// is the model the job was given; where the plan leaves everything as it is, the plan itself
/// (which differs in a job that slices).
///
/// One walk through the blocks serves all of them: up to its first change a variant is the plan, so
/// the plan's stream stands for it; from there on it has a stream of its own, and goes through the
/// plan's weights, loaded once, in every block it leaves alone. The answer for a variant does not
/// depend on the others. Memory: one residual stream a variant, logits of all samples twice.
[[nodiscard]] std::vector<double> run_variants(const JobContext& context, const VariantTask& task);

}  // namespace lathe
