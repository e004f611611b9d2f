#include "orchestrator/coverage.hpp"

#include <algorithm>
#include <array>

#include "lib/core/json.hpp"
#include "lib/model/name_patterns.hpp"
#include "orchestrator/serving.hpp"
#include "workers/candidates/kept_tensors.hpp"

namespace lathe {
namespace {

/// Why a tensor of no unit stays as it is.
std::string reason_to_keep(const TensorSpec& tensor) {
    if (tensor.is_bias) {
        return "bias";
    }
    switch (tensor.role) {
        case Role::position_embedding:
        case Role::segment_embedding:
            return "small table";
        case Role::embedding_projection:
        case Role::head_projection:
            return "projection between widths";
        default:
            return "norm";
    }
}

}  // namespace

std::string_view name(TensorFate fate) noexcept {
    static constexpr std::array names{"compressed", "kept", "passed over"};
    return names[static_cast<std::size_t>(fate)];
}

std::vector<TensorCoverage> coverage(const JobContext& context) {
    const ModelSpec& spec = context.spec();
    const bool may_change = kept_settings(context) != std::vector<Setting>{source_setting()};
    std::vector<TensorCoverage> result;
    for (const TensorSpec& tensor : spec.tensors) {
        result.push_back({tensor.name, TensorFate::kept, "", reason_to_keep(tensor)});
        if (may_change) {
            result.back() = {tensor.name, TensorFate::compressed, "kept_tensors", ""};
        }
    }
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const UnitSpec& unit = spec.units[u];
        const bool has_choice =
            settings_of_unit(context, *context.source, u) != std::vector<Setting>{source_setting()};
        const bool ignored = NamePatterns(context.job.reading.ignore, "ignore").has(spec, unit);
        for (std::size_t t : unit.tensors) {
            TensorCoverage& tensor = result[t];
            if (has_choice) {
                tensor = {tensor.tensor, TensorFate::compressed, unit.name, ""};
            } else {
                tensor = {tensor.tensor, TensorFate::kept, "", ""};
                tensor.reason = ignored ? "named under ignore" : "no candidate suits it";
            }
        }
    }
    for (const PassedOver& tensor : context.given_model().passed_over) {
        result.push_back({tensor.name, TensorFate::passed_over, "", tensor.reason});
    }
    return result;
}

std::string to_json(const std::vector<TensorCoverage>& tensors) {
    nlohmann::json list = nlohmann::json::array();
    for (const TensorCoverage& tensor : tensors) {
        nlohmann::json entry{{"tensor", tensor.tensor}, {"fate", name(tensor.fate)}};
        entry[tensor.unit.empty() ? "reason" : "unit"] =
            tensor.unit.empty() ? tensor.reason : tensor.unit;
        list.push_back(std::move(entry));
    }
    return list.dump();
}

std::string summary(const std::vector<TensorCoverage>& tensors) {
    const auto count = [&](TensorFate fate) {
        return std::to_string(std::ranges::count(tensors, fate, &TensorCoverage::fate)) + " " +
               std::string(name(fate));
    };
    std::string text = count(TensorFate::compressed) + ", " + count(TensorFate::kept) + ", " +
                       count(TensorFate::passed_over);
    for (const TensorCoverage& tensor : tensors) {
        if (tensor.fate == TensorFate::passed_over) {
            text += "\n    passed over: " + tensor.tensor + " (" + tensor.reason + ")";
        }
    }
    return text;
}

}  // namespace lathe
