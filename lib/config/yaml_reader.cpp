#include "lib/config/yaml_reader.hpp"

#include <algorithm>
#include <optional>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

/// Turns yaml-cpp's nodes into YamlValues. Aliases are followed, so depth and number are limited:
/// a node may contain itself, or stand for a billion others.
class Converter {
public:
    explicit Converter(const std::string& file_name) : file_name_(file_name) {}

    [[nodiscard]] SourcePlace place(const YAML::Mark& mark) const {
        if (mark.is_null()) {
            return {file_name_};
        }
        return {file_name_ + ":" + std::to_string(mark.line + 1) + ":" +
                std::to_string(mark.column + 1)};
    }

    YamlValue convert(const YAML::Node& node, std::size_t depth) {
        constexpr std::size_t max_depth = 16;
        constexpr std::size_t max_values = 100000;
        YamlValue value;
        value.place = place(node.Mark());
        if (depth > max_depth) {
            refuse_at(value.place, "nested too deeply for a job file");
        }
        if (++n_values_ > max_values) {
            refuse_at(value.place, "too many values for a job file");
        }
        // "?" is a plain value, "!" one in quotes.
        if (const std::string& tag = node.Tag(); !tag.empty() && tag != "?" && tag != "!") {
            refuse_at(value.place, "tag \"" + tag + "\"; a job file has no tags");
        }
        switch (node.Type()) {
            case YAML::NodeType::Undefined:
            case YAML::NodeType::Null:
                break;
            case YAML::NodeType::Scalar:
                value.kind = YamlValue::Kind::text;
                value.text = node.Scalar();
                value.quoted = node.Tag() == "!";
                break;
            case YAML::NodeType::Sequence:
                value.kind = YamlValue::Kind::list;
                for (const auto& item : node) {
                    value.items.push_back(convert(item, depth + 1));
                }
                break;
            case YAML::NodeType::Map:
                convert_map(node, depth, value);
                break;
        }
        return value;
    }

private:
    void convert_map(const YAML::Node& node, std::size_t depth, YamlValue& value) {
        value.kind = YamlValue::Kind::map;
        for (const auto& pair : node) {
            YamlValue::Entry entry;
            entry.place = place(pair.first.Mark());
            if (!pair.first.IsScalar()) {
                refuse_at(entry.place, "a key must be a text");
            }
            entry.key = pair.first.Scalar();
            // yaml-cpp keeps both entries of a key that is given twice.
            if (const auto* first = find_entry(value, entry.key)) {
                refuse_at(entry.place, "key \"" + entry.key + "\" is given twice, first at " +
                                           first->place.text);
            }
            entry.value = convert(pair.second, depth + 1);
            // The mark of an empty value is the next token's.
            if (entry.value.kind == YamlValue::Kind::null) {
                entry.value.place = entry.place;
            }
            value.entries.push_back(std::move(entry));
        }
    }

    const std::string& file_name_;
    std::size_t n_values_ = 0;
};

/// Where a second document begins. Asked for two documents and no more: in some that are malformed
/// ("&a, b") yaml-cpp finds one empty document after another without end.
class SecondDocument final : public YAML::EventHandler {
public:
    explicit SecondDocument(YAML::Parser& parser) : has_first_(parser.HandleNextDocument(*this)) {
        if (has_first_) (void)parser.HandleNextDocument(*this);
    }

    [[nodiscard]] bool has_first() const { return has_first_; }
    /// None if there is no second one.
    [[nodiscard]] const std::optional<YAML::Mark>& place() const { return place_; }

private:
    using Tag = const std::string&;

    void note(const YAML::Mark& mark) {
        if (n_documents_ > 1 && !place_) place_ = mark;
    }
    void OnDocumentStart(const YAML::Mark& /*mark*/) override { ++n_documents_; }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { note(mark); }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { note(mark); }
    void OnScalar(const YAML::Mark& mark, Tag, YAML::anchor_t, const std::string&) override {
        note(mark);
    }
    void OnSequenceStart(const YAML::Mark& mark, Tag, YAML::anchor_t,
                         YAML::EmitterStyle::value) override {
        note(mark);
    }
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark& mark, Tag, YAML::anchor_t,
                    YAML::EmitterStyle::value) override {
        note(mark);
    }
    void OnMapEnd() override {}

    int n_documents_ = 0;
    std::optional<YAML::Mark> place_;
    bool has_first_;
};

void set_places(YamlValue& value, const SourcePlace& place) {
    value.place = place;
    for (YamlValue& item : value.items) {
        set_places(item, place);
    }
    for (YamlValue::Entry& entry : value.entries) {
        entry.place = place;
        set_places(entry.value, place);
    }
}

}  // namespace

std::string prefix_of(const SourcePlace& place) {
    return place.text.empty() ? "" : place.text + ": ";
}

void refuse_at(const SourcePlace& place, const std::string& message) {
    throw UsageError(prefix_of(place) + message);
}

YamlValue::Entry* find_entry(YamlValue& map, std::string_view key) {
    const auto found = std::find_if(map.entries.begin(), map.entries.end(),
                                    [&](const YamlValue::Entry& e) { return e.key == key; });
    return found == map.entries.end() ? nullptr : &*found;
}

YamlValue parse_yaml(const std::string& yaml, const std::string& file_name) {
    Converter converter(file_name);
    YAML::Node document;
    try {
        // yaml-cpp silently ends an open quote with the file, but not with the document.
        const std::string closed = yaml + "\n...\n";
        std::istringstream text(closed);
        YAML::Parser parser(text);
        const SecondDocument second(parser);
        if (!second.has_first()) {
            YamlValue empty;
            empty.place = {file_name};
            return empty;
        }
        if (second.place()) {
            refuse_at(converter.place(*second.place()),
                      "a second document begins; expected one document only");
        }
        document = YAML::Load(closed);
    } catch (const YAML::Exception& error) {
        const bool open_quote = error.msg == YAML::ErrorMsg::DOC_IN_SCALAR ||
                                error.msg == YAML::ErrorMsg::EOF_IN_SCALAR;
        refuse_at(converter.place(error.mark),
                  "not YAML: " + (open_quote ? std::string("a quote is not closed") : error.msg));
    }
    return converter.convert(document, 0);
}

Override parse_override(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
        throw UsageError("--set \"" + text + "\": no \"=\"; expected KEY=VALUE or KEY.KEY=VALUE");
    }
    const std::string keys = text.substr(0, equals);
    Override result;
    for (std::size_t begin = 0; begin <= keys.size();) {
        const std::size_t end = std::min(keys.find('.', begin), keys.size());
        result.path.push_back(keys.substr(begin, end - begin));
        if (result.path.back().empty()) {
            throw UsageError("--set \"" + text +
                             "\": an empty key; expected KEY=VALUE or KEY.KEY=VALUE");
        }
        begin = end + 1;
    }
    const SourcePlace place{"--set " + keys};
    result.value = parse_yaml(text.substr(equals + 1), place.text);
    set_places(result.value, place);
    return result;
}

void apply_override(YamlValue& root, const Override& change) {
    YamlValue* value = &root;
    for (const std::string& key : change.path) {
        if (value->kind != YamlValue::Kind::map) {
            *value = {};
            value->kind = YamlValue::Kind::map;
            value->place = change.value.place;
        }
        YamlValue::Entry* entry = find_entry(*value, key);
        if (entry == nullptr) {
            value->entries.push_back({key, change.value.place, {}});
            entry = &value->entries.back();
        }
        value = &entry->value;
    }
    *value = change.value;
}

}  // namespace lathe
