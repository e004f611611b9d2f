#include "workers/exports/gguf/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/checkpoint_tokenizer.hpp"
#include "lib/tokenizer/tokenizer.hpp"

namespace lathe::gguf {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// llama.cpp's kinds of tokens.
enum TokenType : std::int32_t {
    normal = 1,
    control = 3,
    user_defined = 4,
    unused = 5,
};

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
    throw DataError(where + ": " + what +
                    "; llama.cpp has no such tokenizer, or none that this program can name");
}

// Patterns of tokenizer.json with the names that llama.cpp has for them (src/llama-vocab.cpp).
struct NamedPattern {
    std::string_view pattern;
    std::string_view name;
};
constexpr std::array named_patterns{
    NamedPattern{R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?)"
                 R"([^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
                 "llama-bpe"},
    NamedPattern{R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?)"
                 R"([^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
                 "qwen2"},
    NamedPattern{R"( ?[^(\s|[.,!?…。，、।۔،])]+)", "bloom"},
};

bool is_byte_level(const json& step, bool with_regex) {
    return step.value("type", "") == "ByteLevel" && !step.value("add_prefix_space", true) &&
           step.value("use_regex", true) == with_regex;
}

/// The name of the expression that cuts texts into words.
std::string name_of_pre_tokenizer(const json& document, const std::string& where) {
    const json pre = document.value("pre_tokenizer", json());
    const json steps = pre.is_object() && pre.value("type", "") == "Sequence"
                           ? pre.value("pretokenizers", json::array())
                           : json::array({pre});
    if (steps.size() == 1 && steps[0].is_object() && is_byte_level(steps[0], true)) {
        return "gpt-2";
    }
    if (steps.size() == 2 && steps[0].value("type", "") == "Digits" &&
        steps[0].value("individual_digits", false) && is_byte_level(steps[1], true)) {
        return "smollm";
    }
    if (steps.size() == 2 && steps[0].value("type", "") == "Split" &&
        steps[0].value("behavior", "") == "Isolated" && !steps[0].value("invert", false) &&
        is_byte_level(steps[1], false)) {
        const std::string pattern = steps[0].value("/pattern/Regex"_json_pointer, "");
        const auto* const named =
            std::ranges::find(named_patterns, pattern, &NamedPattern::pattern);
        if (named != named_patterns.end()) {
            return std::string(named->name);
        }
    }
    refuse(where, "the pre-tokenizer is " + pre.dump());
}

/// llama.cpp normalises no text of byte-level tokenizers. NFC changes none that is composed.
void require_plain_normalizer(const json& document, const std::string& where) {
    const json normalizer = document.value("normalizer", json());
    if (!normalizer.is_null() && normalizer.value("type", "") != "NFC") {
        refuse(where, "the normalizer is " + normalizer.dump());
    }
}

struct Tokens {
    std::vector<std::string> texts;
    std::vector<std::int32_t> types;
    std::map<std::string, std::uint32_t> ids;
};

Tokens list_tokens(const json& document, std::size_t rows, const std::string& where) {
    Tokens tokens;
    for (std::size_t i = 0; i < rows; ++i) {
        tokens.texts.push_back("[PAD" + std::to_string(i) + "]");
    }
    tokens.types.assign(rows, unused);
    const auto put = [&](const std::string& text, std::uint32_t id, TokenType type) {
        if (id >= rows) {
            throw DataError(where + ": token " + std::to_string(id) + " of a model with " +
                            std::to_string(rows) + " rows in its embedding");
        }
        tokens.texts[id] = text;
        tokens.types[id] = type;
        tokens.ids[text] = id;
    };
    for (const auto& [text, id] : document.at("model").at("vocab").items()) {
        put(text, id.get<std::uint32_t>(), normal);
    }
    for (const json& added : document.value("added_tokens", json::array())) {
        put(added.at("content"), added.at("id"),
            added.value("special", false) ? control : user_defined);
    }
    return tokens;
}

std::vector<std::string> list_merges(const json& model) {
    std::vector<std::string> merges;
    for (const json& merge : model.at("merges")) {
        merges.push_back(merge.is_string() ? merge.get<std::string>()
                                           : merge.at(0).get<std::string>() + " " +
                                                 merge.at(1).get<std::string>());
    }
    return merges;
}

/// The text of the chat template; empty: there is none.
std::string chat_template(const fs::path& directory) {
    std::error_code ignored;
    if (fs::exists(directory / "chat_template.jinja", ignored)) {
        return read_file(directory / "chat_template.jinja");
    }
    const fs::path file = directory / "tokenizer_config.json";
    if (!fs::exists(file, ignored)) {
        return "";
    }
    const json config = parse_json(read_file(file), file.string());
    const json found = config.is_object() ? config.value("chat_template", json()) : json();
    return found.is_string() ? found.get<std::string>() : "";
}

/// Which tokens stand for what, and which of them the tokenizer puts around a text.
void add_special_keys(std::vector<Key>& keys, const Tokens& tokens, const fs::path& directory) {
    const std::map<std::string, std::string> named = named_special_tokens(directory);
    std::map<std::string, std::uint32_t> ids;
    constexpr std::array<std::pair<const char*, const char*>, 4> names{
        {{"bos_token", "bos_token_id"},
         {"eos_token", "eos_token_id"},
         {"unk_token", "unknown_token_id"},
         {"pad_token", "padding_token_id"}}};
    for (const auto& [name, key] : names) {
        const auto token = named.find(name);
        const auto id = token == named.end() ? tokens.ids.end() : tokens.ids.find(token->second);
        if (id != tokens.ids.end()) {
            ids[name] = id->second;
            keys.push_back({std::string("tokenizer.ggml.") + key, id->second});
        }
    }
    const auto tokenizer = load_tokenizer(directory);
    const auto plain = tokenizer->encode("a", false);
    const auto whole = tokenizer->encode("a", true);
    const auto stands = [&](const char* name, std::size_t place, bool is_more) {
        return is_more && ids.contains(name) && whole.at(place) == ids[name];
    };
    const bool is_more = whole.size() > plain.size();
    const bool bos = stands("bos_token", 0, is_more);
    const bool eos = stands("eos_token", whole.size() - 1, is_more);
    if (whole.size() != plain.size() + (bos ? 1 : 0) + (eos ? 1 : 0)) {
        refuse(directory.string(),
               "the tokenizer puts other tokens than bos and eos around a text");
    }
    keys.push_back({"tokenizer.ggml.add_bos_token", bos});
    keys.push_back({"tokenizer.ggml.add_eos_token", eos});
}

}  // namespace

std::vector<Key> tokenizer_keys(const fs::path& directory, const ModelSpec& spec) {
    const tokenizer::TokenizerFiles files = tokenizer::read_tokenizer_files(directory);
    const auto vocabularies = tokenizer::vocabulary_file_names();
    if (std::ranges::none_of(vocabularies,
                             [&](std::string_view name) { return files.has(name); })) {
        return {{"tokenizer.ggml.model", std::string("no_vocab")}};
    }
    const tokenizer::DocumentSource source = tokenizer::combine_tokenizer_files(files);
    const json& model = source.root.at("model");
    if (model.value("type", "") != "BPE" || model.value("byte_fallback", false)) {
        refuse(source.where, "a model of type " + model.value("type", "") +
                                 (model.value("byte_fallback", false) ? " with bytes" : ""));
    }
    require_plain_normalizer(source.root, source.where);
    const std::string pre = name_of_pre_tokenizer(source.root, source.where);
    if (model.value("ignore_merges", false) != (pre == "llama-bpe")) {
        refuse(source.where, "\"ignore_merges\" is not what goes with pre-tokenizer " + pre);
    }
    const Tokens tokens = list_tokens(source.root, spec.vocab_size, source.where);
    std::vector<Key> keys{{"tokenizer.ggml.model", std::string("gpt2")},
                          {"tokenizer.ggml.pre", pre},
                          {"tokenizer.ggml.tokens", tokens.texts},
                          {"tokenizer.ggml.token_type", tokens.types},
                          {"tokenizer.ggml.merges", list_merges(model)}};
    add_special_keys(keys, tokens, directory);
    if (std::string text = chat_template(directory); !text.empty()) {
        keys.push_back({"tokenizer.chat_template", std::move(text)});
    }
    return keys;
}

}  // namespace lathe::gguf
