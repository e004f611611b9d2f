#include "lib/tokenizer/tokenizer_files.hpp"

#include <array>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/tokenizer.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 5> vocabularies = {
    "tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"};

// config.json counts too: the kind of model and "tokenizer_class" decide which class is taken.
constexpr std::array<std::string_view, 10> deciding = {"tokenizer.json",
                                                       "tokenizer.model",
                                                       "spiece.model",
                                                       "vocab.json",
                                                       "merges.txt",
                                                       "vocab.txt",
                                                       "tokenizer_config.json",
                                                       "added_tokens.json",
                                                       "special_tokens_map.json",
                                                       "config.json"};

bool is_there(const fs::path& file) {
    std::error_code ignored;
    return fs::exists(file, ignored);
}

}  // namespace

std::vector<fs::path> tokenizer_files(const fs::path& directory) {
    std::vector<fs::path> files;
    for (const std::string_view name : deciding) {
        if (is_there(directory / name)) files.push_back(directory / name);
    }
    return files;
}

namespace tokenizer {

std::span<const std::string_view> vocabulary_file_names() {
    return vocabularies;
}

bool TokenizerFiles::has(std::string_view name) const {
    return is_there(directory / name);
}

TokenizerFiles read_tokenizer_files(const fs::path& directory) {
    const auto read = [&](const char* name) -> JsonFile {
        const fs::path file = directory / name;
        if (!is_there(file)) return {nullptr, file.string()};
        JsonFile json{parse_json(read_file(file), file.string()), file.string()};
        if (!json.value.is_object()) {
            throw DataError(file.string() + ": found " + json.value.type_name() +
                            ", expected an object");
        }
        return json;
    };
    return {directory,
            read("config.json"),
            read("tokenizer.json"),
            read("tokenizer_config.json"),
            read("special_tokens_map.json"),
            read("added_tokens.json")};
}

}  // namespace tokenizer
}  // namespace lathe
