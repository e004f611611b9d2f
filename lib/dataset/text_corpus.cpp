#include "lib/dataset/text_corpus.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/core/text_input.hpp"
#include "lib/dataset/message.hpp"

namespace lathe {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 2> chat_keys = {"messages", "conversations"};

std::string keys_of(const json& row) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : row.items()) names.push_back(name);
    return names.empty() ? "none" : listed(names);
}

[[noreturn]] void refuse_row(const json& row, const std::string& where) {
    if (!row.is_object()) {
        throw DataError(where + ": found " + row.type_name() +
                        ", expected a JSON object with a field \"text\"");
    }
    if (row.contains("text")) {
        throw DataError(where + ": \"text\" is " + row["text"].type_name() + ", expected a string");
    }
    std::string hint;
    if (is_chat(row)) {
        hint =
            "; a chat becomes a text by the model's template with calibration.chat_template: "
            "true (eval: --chat-template)";
    }
    throw DataError(where + ": no field \"text\"; fields: " + keys_of(row) + hint);
}

/// What makes a file that can be read of one that cannot, by the end of its name.
struct Conversion {
    std::string_view extension;
    std::string_view command;  // FILE stands for its name
};
constexpr std::array conversions = {
    Conversion{".parquet",
               "python3 -c \"import pandas; pandas.read_parquet('FILE')"
               ".to_json('FILE.jsonl', orient='records', lines=True)\""},
    Conversion{".arrow",
               "python3 -c \"import datasets; datasets.Dataset.from_file('FILE')"
               ".to_json('FILE.jsonl')\""},
    Conversion{".feather",
               "python3 -c \"import pandas; pandas.read_feather('FILE')"
               ".to_json('FILE.jsonl', orient='records', lines=True)\""},
    Conversion{".csv",
               "python3 -c \"import pandas; pandas.read_csv('FILE')"
               ".to_json('FILE.jsonl', orient='records', lines=True)\""},
    Conversion{".json",
               "python3 -c \"import json; [print(json.dumps(row)) for row in "
               "json.load(open('FILE'))]\" > FILE.jsonl"},
    Conversion{".gz", "gunzip -k FILE"},
    Conversion{".bz2", "bunzip2 -k FILE"},
    Conversion{".xz", "unxz -k FILE"},
    Conversion{".zst", "unzstd FILE"},
    Conversion{".zip", "unzip FILE"},
};

}  // namespace

std::string read_running_text(const std::filesystem::path& file) {
    std::string text = read_text_file(file);
    std::size_t size = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool ends_line = text[i] == '\r';
        if (ends_line && i + 1 < text.size() && text[i + 1] == '\n') continue;
        text[size++] = ends_line ? '\n' : text[i];
    }
    text.resize(size);
    return text;
}

void for_each_line(const std::filesystem::path& file,
                   const std::function<void(const std::string&, std::size_t)>& use) {
    const std::string content = read_running_text(file);
    std::size_t number = 0;
    for (std::size_t begin = 0; begin < content.size();) {
        const std::size_t end = std::min(content.find('\n', begin), content.size());
        const std::string line = content.substr(begin, end - begin);
        begin = end + 1;
        ++number;
        if (line.find_first_not_of(" \t\r") != std::string::npos) use(line, number);
    }
}

bool is_chat(const json& row) {
    return row.is_object() && std::ranges::any_of(chat_keys, [&](std::string_view key) {
               return row.contains(key) && row[std::string(key)].is_array();
           });
}

void for_each_jsonl_text(const std::filesystem::path& file, const RenderChat& render,
                         const std::function<void(const std::string&)>& use) {
    for_each_line(file, [&](const std::string& line, std::size_t number) {
        const std::string where = file.string() + ":" + std::to_string(number);
        const json row = parse_python_json(line, where);
        const bool has_text = row.is_object() && row.contains("text") && row["text"].is_string();
        if (has_text) {
            use(row["text"].get<std::string>());
        } else if (render && is_chat(row)) {
            use(render(line, where));
        } else {
            refuse_row(row, where);
        }
    });
}

bool needs_conversion(const std::filesystem::path& file) {
    return std::ranges::count(conversions, file.extension().string(), &Conversion::extension) > 0;
}

void refuse_text_file(const std::filesystem::path& file, const std::string& others) {
    std::string message = file.string() +
                          ": unknown kind of text file; expected .txt, .raw, .jsonl (field "
                          "\"text\")" +
                          others + " or .h5 (dataset input_ids)";
    for (const auto& [extension, command] : conversions) {
        if (file.extension() != extension) continue;
        std::string filled(command);
        for (auto at = filled.find("FILE"); at != std::string::npos;
             at = filled.find("FILE", at + file.string().size())) {
            filled.replace(at, 4, file.string());
        }
        message = file.string() + ": " + std::string(extension.substr(1)) +
                  " is not read; convert it: " + filled;
    }
    throw DataError(message);
}

}  // namespace lathe
