#include "lib/dataset/label_names.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string_view>

#include "lib/core/errors.hpp"
#include "lib/dataset/message.hpp"

namespace lathe {
namespace {

/// In the spelling of the table.
std::string normalised(std::string_view name) {
    std::string word(name);
    for (char& c : word) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (c == '-' || c == ' ') c = '_';
    }
    return word;
}

std::string listed(std::span<const std::string> names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + in_quotes(name);
    return text;
}

/// None if a name is no word of the task.
std::optional<std::vector<std::uint32_t>> match_by_name(const GlueTask& task,
                                                        std::span<const std::string> names) {
    std::vector<std::uint32_t> labels;
    for (const std::string& name : names) {
        const auto word = std::ranges::find(task.labels, normalised(name));
        if (word == task.labels.end()) return std::nullopt;
        labels.push_back(static_cast<std::uint32_t>(word - task.labels.begin()));
    }
    return labels;
}

}  // namespace

std::vector<std::uint32_t> map_model_labels(const GlueTask& task,
                                            std::span<const std::string> model_labels) {
    const std::size_t expected = std::max<std::size_t>(task.labels.size(), 1);
    if (model_labels.size() != expected) {
        const std::string words =
            task.labels.empty() ? "a score" : listed({task.labels.begin(), task.labels.end()});
        throw DataError("the model has " + std::to_string(model_labels.size()) + " outputs (" +
                        listed(model_labels) + "), task " + std::string(task.name) + " needs " +
                        std::to_string(expected) + " (" + words + ")");
    }
    if (const auto labels = match_by_name(task, model_labels); labels && !task.labels.empty()) {
        std::vector<std::uint32_t> sorted = *labels;
        std::ranges::sort(sorted);
        if (std::ranges::adjacent_find(sorted) != sorted.end()) {
            throw DataError("the model's labels " + listed(model_labels) + " name one label of " +
                            std::string(task.name) + " twice");
        }
        return *labels;
    }
    std::vector<std::uint32_t> identity(expected);
    std::iota(identity.begin(), identity.end(), 0U);
    return identity;
}

}  // namespace lathe
