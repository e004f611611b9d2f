#pragma once

#include <string>

#include "lib/tokenizer/tokenizer_files.hpp"

namespace lathe::tokenizer {

/// The classes of transformers that make a tokenizer from a vocabulary in ways of their own. Their
/// switches and pre-tokenizers then count, not those of a tokenizer.json.
enum class ClassKind {
    generic,  ///< tokenizer.json as it stands, or what a tokenizer.model itself says
    bert,
    code_llama,
    codegen,
    gpt2,
    gpt_neox,
    llama,
    qwen2,
    roberta,
    t5,
    unknown,  ///< a class of transformers with a way that is not known here
};

struct TokenizerClass {
    ClassKind kind;
    std::string name;  ///< as transformers calls it
};

/// The class that transformers 5 (AutoTokenizer) takes for the directory: by "tokenizer_class" of
/// tokenizer_config.json, else of config.json, and by the kind of model.
[[nodiscard]] TokenizerClass choose_tokenizer_class(const TokenizerFiles& files);

}  // namespace lathe::tokenizer
