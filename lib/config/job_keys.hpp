#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "lib/config/job_config.hpp"

namespace lathe {

/// One key of a job with its value as YAML in one line. to_yaml() and incompatible_changes() both
/// go through this list, so a new key of JobConfig is added here and in read_job(), nowhere else.
struct JobKey {
    std::string_view section;  ///< "" for the top level
    std::string_view name;
    std::string text;
    std::vector<std::string> items;  ///< for a list written one item a line; then `text` is all
    bool may_change = false;         ///< by a resumed run
};

/// What the choices of SliceConfig are called, in the order of their enumerators.
namespace slice_names {
inline constexpr std::array<std::string_view, 2> rotation{"per_boundary", "global"};
inline constexpr std::array<std::string_view, 2> order{"dense", "sequential"};
inline constexpr std::array<std::string_view, 2> signal{"raw", "normalised"};
inline constexpr std::array<std::string_view, 2> weighting{"effect", "equal"};
inline constexpr std::array<std::string_view, 3> widths{"constant", "energy", "search"};
inline constexpr std::array<std::string_view, 2> orientation{"pca", "random"};
inline constexpr std::array<std::string_view, 3> tables{"auto", "shared", "own"};
}  // namespace slice_names

/// The same of CalibrationConfig.
inline constexpr std::array<std::string_view, 2> precision_names{"fp32", "bf16"};
inline constexpr std::array<std::string_view, 2> token_weighting_names{"equal", "loss"};

/// The same of FfsplitConfig.
inline constexpr std::array<std::string_view, 5> neuron_score_names{
    "second_moment", "mean", "frequency", "removal", "random"};

/// The same of SearchConfig.
inline constexpr std::array<std::string_view, 3> score_names{"divergence", "gradient", "both"};
inline constexpr std::array<std::string_view, 4> strategy_names{"homogeneous", "greedy", "knapsack",
                                                                "evolution"};

/// The same of RefineMode.
inline constexpr std::array<std::string_view, 2> refine_names{"none", "sequential"};

/// The values of RuntimeConfig::instruction_set. kernels/cpu has those behind the first.
inline constexpr std::array<std::string_view, 8> instruction_set_names{
    "auto", "generic", "avx2", "avx512", "avx512vnni", "avx512vbmi", "avx512bf16", "avx512amx"};

/// Every key that has a value, in the order of the file; keys of a section stand together.
[[nodiscard]] std::vector<JobKey> job_keys(const JobConfig& job);

}  // namespace lathe
