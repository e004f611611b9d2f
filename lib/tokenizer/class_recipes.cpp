#include "lib/tokenizer/class_recipes.hpp"

#include <array>
#include <utility>

#include "lib/core/json.hpp"

namespace lathe::tokenizer {
namespace {

using nlohmann::json;

constexpr const char* space_mark = "\u2581";

// Of Qwen2; close to that of GPT-4, with single digits.
constexpr const char* qwen_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array bert_tokens = {
    DefaultToken{"unk_token", "[UNK]"}, DefaultToken{"sep_token", "[SEP]"},
    DefaultToken{"pad_token", "[PAD]"}, DefaultToken{"cls_token", "[CLS]"},
    DefaultToken{"mask_token", "[MASK]"}};
constexpr std::array gpt2_tokens = {DefaultToken{"unk_token", "<|endoftext|>"},
                                    DefaultToken{"bos_token", "<|endoftext|>"},
                                    DefaultToken{"eos_token", "<|endoftext|>"}};
constexpr std::array gpt_neox_tokens = {
    DefaultToken{"unk_token", "<|endoftext|>"}, DefaultToken{"bos_token", "<|endoftext|>"},
    DefaultToken{"eos_token", "<|endoftext|>"}, DefaultToken{"pad_token", "<|padding|>"}};
constexpr std::array llama_tokens = {DefaultToken{"unk_token", "<unk>"},
                                     DefaultToken{"bos_token", "<s>"},
                                     DefaultToken{"eos_token", "</s>"}};
constexpr std::array code_llama_tokens = {
    DefaultToken{"unk_token", "<unk>"},          DefaultToken{"bos_token", "<s>"},
    DefaultToken{"eos_token", "</s>"},           DefaultToken{"prefix_token", "\u2581<PRE>"},
    DefaultToken{"middle_token", "\u2581<MID>"}, DefaultToken{"suffix_token", "\u2581<SUF>"},
    DefaultToken{"eot_token", "\u2581<EOT>"},    DefaultToken{"fill_token", "<FILL_ME>"}};
constexpr std::array qwen2_tokens = {DefaultToken{"unk_token", "<|endoftext|>"},
                                     DefaultToken{"eos_token", "<|endoftext|>"},
                                     DefaultToken{"pad_token", "<|endoftext|>"}};
constexpr std::array t5_tokens = {DefaultToken{"eos_token", "</s>"},
                                  DefaultToken{"unk_token", "<unk>"},
                                  DefaultToken{"pad_token", "<pad>"}};
constexpr std::array roberta_tokens = {
    DefaultToken{"bos_token", "<s>"},    DefaultToken{"eos_token", "</s>"},
    DefaultToken{"sep_token", "</s>"},   DefaultToken{"cls_token", "<s>"},
    DefaultToken{"unk_token", "<unk>"},  DefaultToken{"pad_token", "<pad>"},
    DefaultToken{"mask_token", "<mask>"}};

json byte_level(bool add_prefix_space, bool use_regex = true) {
    return {
        {"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"use_regex", use_regex}};
}

void complete_bpe(json& root, bool byte_fallback) {
    root["normalizer"] = nullptr;
    root["model"]["type"] = "BPE";
    root["model"]["fuse_unk"] = byte_fallback;
    root["model"]["byte_fallback"] = byte_fallback;
}

void build_byte_level(json& root, const TokenizerSettings& settings) {
    complete_bpe(root, false);
    root["pre_tokenizer"] = byte_level(settings.flag("add_prefix_space", false));
    root["decoder"] = {{"type", "ByteLevel"}};
}

void build_gpt_neox(json& root, const TokenizerSettings& settings) {
    build_byte_level(root, settings);
    root["normalizer"] = {{"type", "NFC"}};
}

void build_qwen2(json& root, const TokenizerSettings& settings) {
    build_gpt_neox(root, settings);
    const json split{{"type", "Split"},
                     {"pattern", {{"Regex", qwen_pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}};
    json steps = json::array();
    steps.push_back(split);
    steps.push_back(byte_level(settings.flag("add_prefix_space", false), false));
    root["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
}

/// Words joined by marks in place of spaces, unknown characters as bytes.
void build_marked(json& root, const char* prepend_scheme, bool strips_first) {
    complete_bpe(root, true);
    root["pre_tokenizer"] = {{"type", "Metaspace"},
                             {"replacement", space_mark},
                             {"prepend_scheme", prepend_scheme},
                             {"split", false}};
    json steps = json::array();
    steps.push_back({{"type", "Replace"}, {"pattern", {{"String", space_mark}}}, {"content", " "}});
    steps.push_back({{"type", "ByteFallback"}});
    steps.push_back({{"type", "Fuse"}});
    if (strips_first) {
        steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
    }
    root["decoder"] = {{"type", "Sequence"}, {"decoders", steps}};
}

void build_llama(json& root, const TokenizerSettings& settings) {
    const bool prepends = settings.flag("add_prefix_space", true);
    // Legacy: a text behind an added token gets a mark of its own.
    const char* scheme = settings.flag("legacy", false) ? "always" : "first";
    build_marked(root, prepends ? scheme : "never", prepends);
}

void build_code_llama(json& root, const TokenizerSettings& settings) {
    const bool prepends = settings.flag("add_prefix_space", true);
    build_marked(root, prepends ? "first" : "never", true);
    if (const auto unknown = settings.named_token("unk_token", code_llama_tokens)) {
        root["model"]["unk_token"] = unknown->content;
    }
}

void build_bert(json& root, const TokenizerSettings& settings) {
    const auto unknown = settings.named_token("unk_token", bert_tokens);
    root["model"]["type"] = "WordPiece";
    root["model"]["unk_token"] = unknown ? unknown->content : "None";
    root["normalizer"] = {{"type", "BertNormalizer"},
                          {"clean_text", true},
                          {"handle_chinese_chars", settings.flag("tokenize_chinese_chars", true)},
                          {"strip_accents", nullptr},
                          {"lowercase", settings.flag("do_lower_case", true)}};
    if (const auto strips = settings.flag("strip_accents")) {
        root["normalizer"]["strip_accents"] = *strips;
    }
    root["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
    root["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
}

/// The normalizer is that of the vocabulary's file.
void build_t5(json& root, const TokenizerSettings& /*settings*/) {
    root["model"]["type"] = "Unigram";
    root["model"]["unk_id"] = 2;
    const json marks{{"type", "Metaspace"},
                     {"replacement", space_mark},
                     {"prepend_scheme", "always"},
                     {"split", true}};
    json steps = json::array();
    steps.push_back({{"type", "WhitespaceSplit"}});
    steps.push_back(marks);
    root["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    root["decoder"] = marks;
}

std::string content_of(std::string_view name, const TokenizerSettings& settings,
                       std::span<const DefaultToken> defaults) {
    const auto token = settings.named_token(name, defaults);
    return token ? token->content : "None";
}

void finish_bert(TokenizerDocument& document, const TokenizerSettings& settings) {
    document.put_cls_and_sep(content_of("cls_token", settings, bert_tokens),
                             content_of("sep_token", settings, bert_tokens));
}

void finish_roberta(TokenizerDocument& document, const TokenizerSettings& settings) {
    document.put_as_roberta(content_of("cls_token", settings, roberta_tokens),
                            content_of("sep_token", settings, roberta_tokens));
}

void finish_t5(TokenizerDocument& document, const TokenizerSettings& settings) {
    document.put_eos_behind(content_of("eos_token", settings, t5_tokens));
}

/// Special tokens lose their other switches.
void finish_qwen2(TokenizerDocument& document, const TokenizerSettings& settings) {
    const auto add = [&](const std::vector<TokenDeclaration>& tokens) {
        for (const TokenDeclaration& token : tokens) document.add(special_token(token.content));
    };
    add(settings.named_tokens(qwen2_tokens));
    if (const auto extra = settings.extra_tokens()) add(*extra);
}

/// Whatever a tokenizer.json has around texts goes.
void finish_gpt_neox(TokenizerDocument& document, const TokenizerSettings& settings) {
    const auto around = [&](const char* flag, const char* name) {
        return settings.flag(flag, false) ? settings.named_token(name, gpt_neox_tokens)
                                          : std::nullopt;
    };
    document.put_around_texts(around("add_bos_token", "bos_token"),
                              around("add_eos_token", "eos_token"));
}

constexpr std::array recipes = {
    std::pair{ClassKind::bert,
              ClassRecipe{"WordPiece", bert_tokens, build_bert, finish_bert, std::nullopt}},
    std::pair{ClassKind::code_llama,
              ClassRecipe{"BPE", code_llama_tokens, build_code_llama, nullptr, true}},
    std::pair{ClassKind::codegen,
              ClassRecipe{"BPE", gpt2_tokens, build_byte_level, nullptr, std::nullopt}},
    std::pair{ClassKind::gpt2,
              ClassRecipe{"BPE", gpt2_tokens, build_byte_level, nullptr, std::nullopt}},
    std::pair{ClassKind::gpt_neox,
              ClassRecipe{"BPE", gpt_neox_tokens, build_gpt_neox, finish_gpt_neox, std::nullopt}},
    std::pair{ClassKind::llama,
              ClassRecipe{"BPE", llama_tokens, build_llama, nullptr, std::nullopt}},
    std::pair{ClassKind::qwen2,
              ClassRecipe{"BPE", qwen2_tokens, build_qwen2, finish_qwen2, std::nullopt}},
    std::pair{ClassKind::roberta,
              ClassRecipe{"BPE", roberta_tokens, build_byte_level, finish_roberta, std::nullopt}},
    std::pair{ClassKind::t5, ClassRecipe{"Unigram", t5_tokens, build_t5, finish_t5, std::nullopt}},
};

}  // namespace

const ClassRecipe* find_recipe(ClassKind kind) {
    for (const auto& [known, recipe] : recipes) {
        if (known == kind) return &recipe;
    }
    return nullptr;
}

}  // namespace lathe::tokenizer
