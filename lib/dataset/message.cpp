#include "lib/dataset/message.hpp"

#include "lib/core/json.hpp"

namespace lathe {

std::string in_quotes(std::string_view text, std::size_t longest) {
    const nlohmann::json shown =
        std::string(text.substr(0, longest)) + (text.size() > longest ? "..." : "");
    return shown.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string listed(const std::vector<std::string_view>& words) {
    std::string text;
    for (const std::string_view word : words) {
        text += (text.empty() ? "" : ", ") + std::string(word);
    }
    return text;
}

}  // namespace lathe
