#include "lib/template/chat_template.hpp"

#include <algorithm>
#include <array>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/text_input.hpp"
#include "lib/core/utf8.hpp"
#include "lib/template/library.hpp"
#include "lib/template/statement.hpp"
#include "lib/tokenizer/tokenizer.hpp"

namespace lathe {
namespace fs = std::filesystem;

struct ChatTemplate::Parsed {
    jinja::Block block;
};

namespace {

using nlohmann::ordered_json;

/// The names of ShareGPT's data for roles.
std::string role_of(const std::string& from) {
    if (from == "human") return "user";
    if (from == "gpt") return "assistant";
    return from;
}

/// Without parts that are null, which transformers drops. {"from", "value"} becomes {"role",
/// "content"}, and a thought stands under the names that templates look for.
jinja::Value message_value(const ordered_json& message, const std::string& where) {
    if (!message.is_object()) {
        throw DataError(where + ": a message is " + message.type_name() + ", expected an object");
    }
    ordered_json kept = ordered_json::object();
    for (const auto& [key, value] : message.items()) {
        if (!value.is_null()) kept[key] = value;
    }
    if (!kept.contains("role") && kept.contains("from") && kept["from"].is_string()) {
        ordered_json renamed{{"role", role_of(kept["from"].get<std::string>())}};
        if (kept.contains("value")) renamed["content"] = kept["value"];
        kept = renamed;
    }
    for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
        if (!kept.contains(name)) continue;
        const ordered_json thought = kept[name];
        ordered_json extended = ordered_json::object();
        if (!kept.contains("thinking")) extended["thinking"] = thought;
        for (const auto& [key, value] : kept.items()) extended[key] = value;
        extended["reasoning_content"] = thought;
        kept = extended;
        break;
    }
    return jinja::Value::of_json(kept);
}

jinja::Value messages_of(const ordered_json& row, const std::string& where) {
    for (const char* key : {"messages", "conversations"}) {
        const auto list = row.find(key);
        if (list == row.end() || !list->is_array()) continue;
        if (list->empty()) throw DataError(where + ": \"" + key + "\" is an empty list");
        jinja::List messages;
        for (const ordered_json& message : *list) {
            messages.push_back(message_value(message, where));
        }
        return jinja::Value::list(std::move(messages));
    }
    throw DataError(where + ": expected \"messages\", a list of {\"role\", \"content\"}");
}

/// null if the row has none.
jinja::Value part_of_row(const ordered_json& row, const char* key) {
    const auto part = row.find(key);
    return part == row.end() ? jinja::Value() : jinja::Value::of_json(*part);
}

}  // namespace

ChatTemplate::ChatTemplate(const std::string& source, std::string where,
                           std::map<std::string, std::string> special_tokens)
    : where_(std::move(where)), special_tokens_(std::move(special_tokens)) {
    // Everything that cuts texts into characters relies on it; rows are JSON, which is UTF-8.
    if (!is_valid_utf8(source)) throw DataError(where_ + ": not UTF-8");
    try {
        parsed_ = std::make_unique<const Parsed>(Parsed{jinja::parse_template(source)});
    } catch (const DataError& error) {
        throw DataError(where_ + ": " + error.what());
    }
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const std::string& row, const std::string& row_where) const {
    const auto json = is_nested_too_deeply(row) ? ordered_json(ordered_json::value_t::discarded)
                                                : ordered_json::parse(row, nullptr, false);
    if (json.is_discarded() || !json.is_object()) {
        (void)parse_json(row, row_where);
        throw DataError(row_where + ": expected a JSON object");
    }
    const jinja::Work work(row.size());
    const auto scope = std::make_shared<jinja::Scope>();
    jinja::add_globals(*scope);
    for (const auto& [name, token] : special_tokens_) scope->set(name, token);
    scope->set("messages", messages_of(json, row_where));
    scope->set("tools", part_of_row(json, "tools"));
    scope->set("documents", part_of_row(json, "documents"));
    scope->set("add_generation_prompt", false);
    std::string text;
    try {
        (void)jinja::render_block(parsed_->block, scope, text);
    } catch (const DataError& error) {
        throw DataError(row_where + ": " + where_ + ": " + error.what());
    }
    return text;
}

namespace {

struct Source {
    std::string text;
    std::string where;
};

/// By name; a file wins over an entry of tokenizer_config.json.
std::map<std::string, Source> sources_of(const fs::path& directory) {
    std::map<std::string, Source> sources;
    std::error_code ignored;
    const fs::path config = directory / "tokenizer_config.json";
    if (fs::exists(config, ignored)) {
        const auto json = parse_json(read_file(config), config.string());
        const auto entry = json.find("chat_template");
        if (entry != json.end() && entry->is_string()) {
            sources["default"] = {entry->get<std::string>(), config.string() + ": chat_template"};
        } else if (entry != json.end() && entry->is_array()) {
            for (const auto& item : *entry) {
                const auto name = item.value("name", std::string());
                sources[name] = {item.value("template", std::string()),
                                 config.string() + ": chat_template " + name};
            }
        }
    }
    std::map<std::string, Source> files;
    const fs::path file = directory / "chat_template.jinja";
    if (fs::exists(file, ignored)) files["default"] = {read_text_file(file), file.string()};
    for (const auto& entry :
         fs::directory_iterator(directory / "additional_chat_templates", ignored)) {
        if (entry.path().extension() != ".jinja") continue;
        files[entry.path().stem().string()] = {read_text_file(entry.path()), entry.path().string()};
    }
    return files.empty() ? sources : files;
}

}  // namespace

bool is_template_file(const std::string& setting) {
    return setting.ends_with(".jinja");
}

std::vector<fs::path> chat_template_files(const fs::path& directory, const std::string& setting) {
    std::vector<fs::path> files;
    const auto add = [&](const fs::path& file) {
        std::error_code ignored;
        if (fs::is_regular_file(file, ignored)) files.push_back(file);
    };
    if (is_template_file(setting)) {
        add(setting);
        return files;
    }
    std::error_code ignored;
    for (const auto& entry :
         fs::directory_iterator(directory / "additional_chat_templates", ignored)) {
        add(entry.path());
    }
    std::ranges::sort(files);
    add(directory / "chat_template.jinja");
    return files;
}

ChatTemplate load_chat_template(const fs::path& directory, const std::string& name) {
    const std::map<std::string, Source> sources = sources_of(directory);
    const auto found = sources.find(name.empty() ? "default" : name);
    if (found == sources.end()) {
        std::string known;
        for (const auto& [other, source] : sources) known += (known.empty() ? "" : ", ") + other;
        throw MissingInputError(directory.string() + ": no chat template " +
                                (name.empty() ? std::string() : "\"" + name + "\" ") +
                                (known.empty()
                                     ? "(neither chat_template.jinja nor \"chat_template\" of "
                                       "tokenizer_config.json)"
                                     : "; there are: " + known));
    }
    return {found->second.text, found->second.where, named_special_tokens(directory)};
}

}  // namespace lathe
