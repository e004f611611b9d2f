// How a directory says that its model is sliced: what stream.hpp declares of slicing.json.

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/model/generation_config.hpp"
#include "lib/model/stream.hpp"

namespace lathe {

std::string to_json(const StreamShape& shape, const ModelSpec& spec) {
    nlohmann::json json{{"format_version", 1},
                        {"hidden_size", spec.hidden_size},
                        {"stream_widths", shape.widths},
                        {"shortcuts", shape.has_shortcuts}};
    if (shape.shares_table) {
        json["format_version"] = 2;  // a program that knows no shared table must not read on
        json["shared_table"] = true;
    }
    return json.dump(1) + "\n";
}

StreamShape stream_shape_from_json(const std::string& text, const std::string& where) {
    const auto json = try_parse_json(text);
    const auto has = [&](const char* key, auto&& is_right) {
        return json.is_object() && json.contains(key) && is_right(json[key]);
    };
    const auto is_width = [](const nlohmann::json& v) { return v.is_number_unsigned(); };
    if (!has("format_version", [](const auto& v) { return v == 1 || v == 2; }))
        throw DataError(where + ": expected an object with \"format_version\": 1 or 2");
    if (!has("stream_widths",
             [&](const auto& v) { return v.is_array() && std::ranges::all_of(v, is_width); }))
        throw DataError(where + ": expected \"stream_widths\", a list of whole numbers");
    if (!has("shortcuts", [](const auto& v) { return v.is_boolean(); }))
        throw DataError(where + ": expected \"shortcuts\": true or false");
    const bool tells = json.contains("shared_table");
    if (tells != (json["format_version"] == 2) || (tells && !json["shared_table"].is_boolean()))
        throw DataError(where +
                        ": expected \"shared_table\", true or false, with "
                        "\"format_version\": 2 alone");
    return {json["stream_widths"].template get<std::vector<std::size_t>>(),
            json["shortcuts"].template get<bool>(),
            tells && json["shared_table"].template get<bool>()};
}

ModelSpec read_model_directory(const std::filesystem::path& directory) {
    return read_model_directory(directory, read_file(directory / "config.json"));
}

ModelSpec read_model_directory(const std::filesystem::path& directory,
                               const std::string& config_json) {
    ModelSpec spec = read_model_spec(config_json, (directory / "config.json").string());
    if (auto ends = read_end_tokens(directory)) spec.eos_ids = *std::move(ends);
    const std::filesystem::path slicing = directory / slicing_file;
    std::error_code ignored;
    if (!std::filesystem::exists(slicing, ignored)) return spec;
    const StreamShape shape = stream_shape_from_json(read_file(slicing), slicing.string());
    return sliced_spec(spec, shape, slicing.string());
}

}  // namespace lathe
