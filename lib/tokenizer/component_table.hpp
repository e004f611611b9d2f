#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/tokenizer/json_place.hpp"

namespace lathe::tokenizer {

/// One kind of a component: the name in "type" and the function that reads its settings.
template <class Component>
struct ComponentKind {
    std::string_view name;
    std::unique_ptr<Component> (*read)(const JsonPlace& place);
};

/// @throws DataError  naming file, place, the type found and the supported ones
[[noreturn]] void refuse_type(const JsonPlace& place, std::string_view component,
                              std::string_view type, const std::vector<std::string_view>& known);

/// Reads the component at `place` by looking up its "type" in `kinds`. `component` is its word in
/// messages: "normalizer".
template <class Component>
[[nodiscard]] std::unique_ptr<Component> read_component(
    const JsonPlace& place, std::string_view component,
    std::span<const ComponentKind<Component>> kinds) {
    const std::string& type = place.at("type").string();
    std::vector<std::string_view> known;
    for (const ComponentKind<Component>& kind : kinds) {
        if (kind.name == type) return kind.read(place);
        known.push_back(kind.name);
    }
    refuse_type(place, component, type, known);
}

}  // namespace lathe::tokenizer
