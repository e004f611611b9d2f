#include "lib/model/name_patterns.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

/// std::regex recurses for each character: a name beyond this length could exhaust the stack, and
/// no real tensor has one.
constexpr std::size_t longest_name = 1000;

}  // namespace

NamePatterns::NamePatterns(const std::vector<std::string>& entries, const std::string& key) {
    constexpr std::size_t longest_shown = 200;
    for (const std::string& entry : entries) {
        if (!entry.starts_with("re:")) {
            names_.push_back(entry);
            continue;
        }
        try {
            patterns_.emplace_back(entry.substr(3));
        } catch (const std::regex_error& error) {
            const bool cut = entry.size() > longest_shown;
            throw UsageError(key + ": \"" + entry.substr(0, longest_shown) +
                             (cut ? "...\"" : "\"") +
                             " is not a regular expression: " + error.what());
        }
    }
}

bool NamePatterns::has(const std::string& name) const {
    if (std::ranges::find(names_, name) != names_.end()) {
        return true;
    }
    return name.size() <= longest_name &&
           std::ranges::any_of(patterns_, [&](const std::regex& pattern) {
               return std::regex_search(name, pattern, std::regex_constants::match_continuous);
           });
}

bool NamePatterns::has(const ModelSpec& spec, const UnitSpec& unit) const {
    return has(unit.name) || std::ranges::any_of(unit.tensors, [&](std::size_t t) {
               return has(spec.tensors[t].name);
           });
}

}  // namespace lathe
