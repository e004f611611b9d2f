#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::tokenizer {

/// What a `tokenizer.model` of SentencePiece holds, as far as it decides about ids. The defaults
/// are those of its format (sentencepiece_model.proto).
struct SentencePieceModel {
    enum class Algorithm { unigram = 1, bpe = 2, word = 3, character = 4 };
    enum class Kind {
        normal = 1,
        unknown = 2,
        control = 3,
        user_defined = 4,
        unused = 5,
        byte = 6
    };
    struct Piece {
        std::string text;
        float score = 0.0F;
        Kind kind = Kind::normal;
    };

    std::vector<Piece> pieces;  ///< by id
    Algorithm algorithm = Algorithm::unigram;
    bool byte_fallback = false;
    std::int64_t unknown_id = 0;  ///< ids below 0: there is no such token
    std::int64_t bos_id = 1;
    std::int64_t eos_id = 2;
    std::string unknown_piece = "<unk>";
    std::string bos_piece = "<s>";
    std::string eos_piece = "</s>";
    std::string character_map;  ///< PrecompiledMap; empty: none
    bool add_dummy_prefix = true;
    bool remove_extra_whitespaces = true;
    bool escape_whitespaces = true;
};

/// @throws MissingInputError  if there is no such file
/// @throws DataError          if it is no such model
[[nodiscard]] SentencePieceModel read_sentencepiece_model(const std::filesystem::path& file);

}  // namespace lathe::tokenizer
