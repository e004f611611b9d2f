#pragma once

#include <optional>
#include <span>
#include <string_view>

#include <nlohmann/json.hpp>

#include "lib/tokenizer/tokenizer_class.hpp"
#include "lib/tokenizer/tokenizer_document.hpp"
#include "lib/tokenizer/tokenizer_settings.hpp"

namespace lathe::tokenizer {

/// How a class of transformers 5 makes a tokenizer from a vocabulary and the settings.
struct ClassRecipe {
    /// "BPE", "Unigram" or "WordPiece": the only model it can make.
    std::string_view model_type;
    std::span<const DefaultToken> defaults;
    /// Completes `root`, which has {"vocab": ...}, for BPE with {"merges": ...}, in "model" and,
    /// for Unigram, the file's character map as "normalizer".
    void (*build)(nlohmann::json& root, const TokenizerSettings& settings);
    /// After all tokens were added; null: nothing more.
    void (*finish)(TokenizerDocument& document, const TokenizerSettings& settings);
    /// What add_bos_token is where the settings do not say; none: the class does not say either,
    /// and a post-processor of a tokenizer.json stays.
    std::optional<bool> adds_bos;
};

/// None of `generic` and `unknown`.
[[nodiscard]] const ClassRecipe* find_recipe(ClassKind kind);

}  // namespace lathe::tokenizer
