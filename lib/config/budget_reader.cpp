#include "lib/config/budget_reader.hpp"

#include "lib/core/errors.hpp"

namespace lathe {

Budget read_budget_text(const SourcePlace& place, const std::string& text) {
    try {
        return parse_budget(text);
    } catch (const UsageError& error) {
        refuse_at(place, error.what());
    }
}

Budget read_budget(const YamlValue* value) {
    if (value == nullptr) {
        return {};
    }
    if (value->kind == YamlValue::Kind::text) {
        return read_budget_text(value->place, value->text);
    }
    if (value->kind != YamlValue::Kind::map) {
        refuse_at(value->place, "budget is " + describe(*value) +
                                    "; expected 4x, 35GB, 3.5bpw or one of {ratio: 4.0}, "
                                    "{bytes: 35GB}, {bits_per_weight: 3.5}");
    }
    MapReader map(value, "budget");
    const YamlValue* const ratio = map.find("ratio");
    const YamlValue* const bytes = map.find("bytes");
    const YamlValue* const bits = map.find("bits_per_weight");
    map.finish();
    if (value->entries.size() != 1) {
        refuse_at(value->place, "budget has " + std::to_string(value->entries.size()) +
                                    " keys; expected one of ratio, bytes, bits_per_weight");
    }
    if (ratio != nullptr) {
        (void)number_of(*ratio, "budget.ratio");
        return read_budget_text(ratio->place, ratio->text + "x");
    }
    if (bits != nullptr) {
        (void)number_of(*bits, "budget.bits_per_weight");
        return read_budget_text(bits->place, bits->text + "bpw");
    }
    return {Budget::Kind::bytes, static_cast<double>(read_size(*bytes, "budget.bytes"))};
}

std::uint64_t read_size(const YamlValue& value, const std::string& key) {
    const Budget size = read_budget_text(value.place, text_of(value, key));
    if (size.kind != Budget::Kind::bytes) {
        refuse_at(value.place, key + " is " + describe(value) + "; expected a size such as 35GB");
    }
    return static_cast<std::uint64_t>(size.value);
}

}  // namespace lathe
