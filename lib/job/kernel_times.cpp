#include "lib/job/kernel_times.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

using Json = nlohmann::json;

bool stands_for(const Setting& entry, const Setting& setting) {
    return entry.method == setting.method &&
           std::ranges::all_of(entry.values, [&](const auto& value) {
               const auto found = setting.values.find(value.first);
               return found != setting.values.end() && found->second == value.second;
           });
}

/// The member of an object, if `is_right` says so.
template <class Predicate>
const Json& member(const Json& object, const char* name, const Predicate& is_right,
                   const char* expected, const std::string& where) {
    const auto found = object.find(name);
    if (found == object.end() || !is_right(*found)) {
        throw DataError(where + ": " + name + " is " +
                        (found == object.end() ? "missing" : found->dump()) + "; expected " +
                        expected);
    }
    return *found;
}

std::size_t read_count(const Json& object, const char* name, const std::string& where) {
    const auto is_count = [](const Json& value) {
        return value.is_number_unsigned() && value.get<std::uint64_t>() > 0;
    };
    return member(object, name, is_count, "a whole number above 0", where).get<std::size_t>();
}

KernelTime read_entry(const Json& entry, const std::string& where) {
    if (!entry.is_object()) {
        throw DataError(where + ": expected {rows, cols, setting, microseconds}");
    }
    KernelTime time;
    time.rows = read_count(entry, "rows", where);
    time.cols = read_count(entry, "cols", where);
    const auto is_text = [](const Json& value) { return value.is_string(); };
    const auto is_time = [](const Json& value) {
        return value.is_number() && value.get<double>() > 0.0 && std::isfinite(value.get<double>());
    };
    const std::string setting =
        member(entry, "setting", is_text, "a text such as \"integer num_bits=4\"", where);
    try {
        time.setting = setting_from_string(setting);
    } catch (const DataError& error) {
        throw DataError(where + ": " + error.what());
    }
    time.microseconds =
        member(entry, "microseconds", is_time, "a number above 0", where).get<double>();
    return time;
}

}  // namespace

KernelTimes KernelTimes::read(const std::filesystem::path& file) {
    if (!std::filesystem::exists(file)) {
        throw MissingInputError("no table of kernel times " + file.string());
    }
    const Json json = parse_json(read_file(file), file.string());
    const auto is_list = [](const Json& value) { return value.is_array(); };
    if (!json.is_object()) {
        throw DataError(file.string() + ": expected {tokens, kernels: [...]}");
    }
    KernelTimes times(read_count(json, "tokens", file.string()));
    for (const Json& entry : member(json, "kernels", is_list, "a list", file.string())) {
        times.add(read_entry(
            entry, file.string() + ": kernels[" + std::to_string(times.times_.size()) + "]"));
    }
    return times;
}

std::string KernelTimes::to_json() const {
    Json kernels = Json::array();
    for (const KernelTime& time : times_) {
        kernels.push_back({{"rows", time.rows},
                           {"cols", time.cols},
                           {"setting", to_string(time.setting)},
                           {"microseconds", time.microseconds}});
    }
    return Json{{"tokens", tokens_}, {"kernels", std::move(kernels)}}.dump(1) + "\n";
}

std::optional<double> KernelTimes::find(std::size_t rows, std::size_t cols,
                                        const Setting& setting) const {
    const KernelTime* best = nullptr;
    for (const KernelTime& time : times_) {
        if (time.rows == rows && time.cols == cols && stands_for(time.setting, setting) &&
            (best == nullptr || time.setting.values.size() > best->setting.values.size())) {
            best = &time;
        }
    }
    return best == nullptr ? std::nullopt : std::optional(1e-6 * best->microseconds);
}

double KernelTimes::seconds(std::size_t rows, std::size_t cols, const Setting& setting) const {
    const std::optional<double> found = find(rows, cols, setting);
    if (!found) {
        throw DataError("the table of kernel times has no entry for a weight [" +
                        std::to_string(rows) + ", " + std::to_string(cols) + "] under '" +
                        to_string(setting) + "'");
    }
    return *found;
}

}  // namespace lathe
