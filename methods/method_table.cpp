#include <algorithm>
#include <array>

#include "lib/core/errors.hpp"
#include "methods/bcq.hpp"
#include "methods/dense.hpp"
#include "methods/integer.hpp"
#include "methods/method.hpp"
#include "methods/nm.hpp"

namespace lathe {

std::span<const MethodRow> method_table() {
    static const std::array table = {dense_method(), integer_method(), nm_method(), bcq_method()};
    return table;
}

const MethodRow& find_method(std::string_view name, const std::string& place) {
    std::string names;
    for (const MethodRow& row : method_table()) {
        if (row.name == name) {
            return row;
        }
        names += (names.empty() ? "" : ", ") + std::string(row.name);
    }
    throw UsageError((place.empty() ? "" : place + ": ") + "unknown method \"" + std::string(name) +
                     "\"; methods are " + names);
}

std::vector<Setting> expand_candidates(const std::vector<CandidateEntry>& entries) {
    std::vector<Setting> settings;
    const auto add = [&](const Setting& setting) {
        if (std::find(settings.begin(), settings.end(), setting) == settings.end()) {
            settings.push_back(setting);
        }
    };
    for (const CandidateEntry& entry : entries) {
        for (const Setting& s : find_method(entry.method, entry.place.text).expand(entry)) {
            add(s);
        }
    }
    // The source as it is: every unit can have it, and ignored ones do.
    for (const Setting& s : dense_method().expand({"dense", {}, {}})) {
        add(s);
    }
    return settings;
}

}  // namespace lathe
