#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"
#include "workers/exports/gguf/header.hpp"

namespace lathe::gguf {

/// Keys "tokenizer.*" of a checkpoint directory, for `spec.vocab_size` rows of the embedding. A
/// directory without a tokenizer gives the vocabulary "no_vocab". llama.cpp has no regular
/// expression in the file: "tokenizer.ggml.pre" names one that it knows. Here the name follows from
/// the expression of the tokenizer itself; under a wrong one texts would get other ids without a
/// word.
/// @throws DataError  a kind of tokenizer, an expression or a normaliser that has no name there;
///   more tokens than rows
[[nodiscard]] std::vector<Key> tokenizer_keys(const std::filesystem::path& directory,
                                              const ModelSpec& spec);

}  // namespace lathe::gguf
