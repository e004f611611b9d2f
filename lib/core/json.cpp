#include "lib/core/json.hpp"

template class nlohmann::basic_json<>;

namespace lathe {

nlohmann::json parse_json(std::string_view text) {
    return nlohmann::json::parse(text);
}

nlohmann::json try_parse_json(std::string_view text) {
    return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace lathe
