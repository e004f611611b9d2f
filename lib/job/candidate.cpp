#include "lib/job/candidate.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

/// Whether a text can stand in the canonical form and be found again.
bool is_word(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(),
                                        [](char c) { return c > ' ' && c <= '~' && c != '='; });
}

void require_word(const std::string& text, const char* what, const Setting& setting) {
    if (is_word(text)) {
        return;
    }
    throw InternalError("setting of method \"" + setting.method + "\": " + what + " \"" + text +
                        "\" is empty or has a character that may not stand in a setting");
}

[[noreturn]] void refuse(const std::string& text, const std::string& reason) {
    throw DataError("setting \"" + text + "\": " + reason +
                    "; expected: METHOD KEY=VALUE ..., single spaces, keys in order");
}

}  // namespace

std::string to_string(const Setting& setting) {
    require_word(setting.method, "the method", setting);
    std::string text = setting.method;
    for (const auto& [key, value] : setting.values) {
        require_word(key, "the key", setting);
        require_word(value, "the value", setting);
        text += ' ';
        text += key;
        text += '=';
        text += value;
    }
    return text;
}

Setting setting_from_string(const std::string& text) {
    Setting setting;
    const std::string_view all = text;
    std::size_t end = std::min(all.find(' '), all.size());
    if (!is_word(all.substr(0, end))) {
        refuse(text, "no method at the start");
    }
    setting.method = all.substr(0, end);

    while (end < all.size()) {
        const std::size_t begin = end + 1;
        end = std::min(all.find(' ', begin), all.size());
        const std::string_view item = all.substr(begin, end - begin);
        const std::size_t equals = std::min(item.find('='), item.size());
        const std::string_view key = item.substr(0, equals);
        const std::string_view value = item.substr(std::min(equals + 1, item.size()));
        if (!is_word(key) || !is_word(value)) {
            refuse(text, "\"" + std::string(item) + "\" is not KEY=VALUE");
        }
        // Only the canonical order is accepted, so that equal settings have equal texts.
        if (!setting.values.empty() && setting.values.rbegin()->first >= key) {
            refuse(text, "key \"" + std::string(key) + "\" is out of order or given twice");
        }
        setting.values.emplace(key, value);
    }
    return setting;
}

std::string choice_to_json(const std::vector<Setting>& choice) {
    std::map<Setting, std::size_t> places;
    nlohmann::json settings = nlohmann::json::array();
    nlohmann::json units = nlohmann::json::array();
    for (const Setting& setting : choice) {
        const auto [found, is_new] = places.try_emplace(setting, places.size());
        if (is_new) {
            settings.push_back(to_string(setting));
        }
        units.push_back(found->second);
    }
    return nlohmann::json{{"settings", settings}, {"units", units}}.dump();
}

std::vector<Setting> choice_from_json(const std::string& text) {
    const auto json = parse_json(text);
    std::vector<Setting> settings;
    for (const auto& setting : json.at("settings")) {
        settings.push_back(setting_from_string(setting.get<std::string>()));
    }
    std::vector<Setting> choice;
    for (const auto& unit : json.at("units")) {
        const auto place = unit.get<std::size_t>();
        if (place >= settings.size()) {
            throw DataError("a unit has setting " + std::to_string(place) + " of " +
                            std::to_string(settings.size()));
        }
        choice.push_back(settings[place]);
    }
    return choice;
}

}  // namespace lathe
