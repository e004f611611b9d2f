#include "workers/network/integer_parts.hpp"

#include <array>
#include <sstream>
#include <string_view>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

struct Part {
    std::string_view name;
    bool IntegerParts::*member;
};

constexpr std::array<Part, 7> table = {{
    {"embedding", &IntegerParts::embedding},
    {"products", &IntegerParts::products},
    {"softmax", &IntegerParts::softmax},
    {"activation", &IntegerParts::activation},
    {"norm", &IntegerParts::norm},
    {"residual", &IntegerParts::residual},
    {"storage", &IntegerParts::storage},
}};

void set_part(IntegerParts& parts, std::string_view name, bool value) {
    bool is_known = name == "weights" || name == "all";
    for (const Part& part : table) {
        if (name == part.name || name == "all") {
            parts.*part.member = value;
            is_known = true;
        }
    }
    if (!is_known) {
        std::string names = "all, weights";
        for (const Part& part : table) {
            names += ", " + std::string(part.name);
        }
        throw UsageError("unknown part \"" + std::string(name) + "\" of --integer; parts are " +
                         names + ", and -NAME takes one away");
    }
}

}  // namespace

IntegerParts integer_parts_from(const std::string& text) {
    IntegerParts parts;
    std::istringstream words(text);
    for (std::string word; std::getline(words, word, ',');) {
        const bool takes_away = word.starts_with('-');
        set_part(parts, std::string_view(word).substr(takes_away ? 1 : 0), !takes_away);
    }
    return parts;
}

std::string to_string(const IntegerParts& parts) {
    if (!parts.any() || parts.all()) {
        return parts.any() ? "all" : "weights";
    }
    std::string text;
    for (const Part& part : table) {
        if (parts.*part.member) {
            text += (text.empty() ? "" : ",") + std::string(part.name);
        }
    }
    return text;
}

std::string to_json(const IntegerParts& parts) {
    return nlohmann::json{{"parts", to_string(parts)}, {"block_size", parts.block_size}}.dump();
}

IntegerParts integer_parts_from_json(const std::string& text) {
    const auto json = parse_json(text);
    IntegerParts parts = integer_parts_from(json.at("parts").get<std::string>());
    parts.block_size = json.at("block_size");
    return parts;
}

}  // namespace lathe
