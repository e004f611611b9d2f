#include "lib/tokenizer/component_table.hpp"

namespace lathe::tokenizer {

void refuse_type(const JsonPlace& place, std::string_view component, std::string_view type,
                 const std::vector<std::string_view>& known) {
    std::string names;
    for (const std::string_view name : known) {
        if (!names.empty()) names += ", ";
        names += name;
    }
    place.fail(std::string(component) + " of type \"" + std::string(type) +
               "\" is not supported; supported are " + names);
}

}  // namespace lathe::tokenizer
