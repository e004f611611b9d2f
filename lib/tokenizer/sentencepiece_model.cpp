#include "lib/tokenizer/sentencepiece_model.hpp"

#include <bit>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/utf8.hpp"
#include "lib/tokenizer/unicode.hpp"
#include "lib/tokenizer/wire_reader.hpp"

namespace lathe::tokenizer {
namespace {

using Model = SentencePieceModel;

/// Calls `use(field)` for each field of a message.
template <class Use>
void for_each_field(std::string_view message, const Use& use) {
    WireReader reader(message);
    while (const auto field = reader.next()) use(*field);
}

/// Numbers below 0 are written as 64 bits.
std::int64_t signed_value(const WireField& field) {
    return static_cast<std::int32_t>(static_cast<std::uint32_t>(field.value));
}

Model::Piece read_piece(std::string_view message) {
    Model::Piece piece;
    for_each_field(message, [&](const WireField& field) {
        if (field.number == 1) piece.text = field.bytes;
        if (field.number == 2) {
            piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
        }
        if (field.number == 3) piece.kind = static_cast<Model::Kind>(field.value);
    });
    return piece;
}

void read_trainer(std::string_view message, Model& model) {
    for_each_field(message, [&](const WireField& field) {
        switch (field.number) {
            case 3:
                model.algorithm = static_cast<Model::Algorithm>(field.value);
                break;
            case 35:
                model.byte_fallback = field.value != 0;
                break;
            case 40:
                model.unknown_id = signed_value(field);
                break;
            case 41:
                model.bos_id = signed_value(field);
                break;
            case 42:
                model.eos_id = signed_value(field);
                break;
            case 45:
                model.unknown_piece = field.bytes;
                break;
            case 46:
                model.bos_piece = field.bytes;
                break;
            case 47:
                model.eos_piece = field.bytes;
                break;
            default:
                break;
        }
    });
}

void read_normalizer(std::string_view message, Model& model) {
    for_each_field(message, [&](const WireField& field) {
        if (field.number == 2) model.character_map = field.bytes;
        if (field.number == 3) model.add_dummy_prefix = field.value != 0;
        if (field.number == 4) model.remove_extra_whitespaces = field.value != 0;
        if (field.number == 5) model.escape_whitespaces = field.value != 0;
    });
}

void require_sense(const Model& model) {
    if (model.pieces.empty()) throw DataError("it has no pieces");
    for (const Model::Piece& piece : model.pieces) {
        if (!is_valid_utf8(piece.text)) throw DataError("a piece is not UTF-8");
    }
    if (model.algorithm != Model::Algorithm::unigram && model.algorithm != Model::Algorithm::bpe) {
        throw DataError("a model of whole words or characters; supported are BPE and Unigram");
    }
    if (model.unknown_id >= static_cast<std::int64_t>(model.pieces.size())) {
        throw DataError("its unknown id " + std::to_string(model.unknown_id) +
                        " is not among its " + std::to_string(model.pieces.size()) + " pieces");
    }
}

}  // namespace

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& file) {
    const std::string content = read_file(file);
    Model model;
    try {
        for_each_field(content, [&](const WireField& field) {
            if (field.number == 1) model.pieces.push_back(read_piece(field.bytes));
            if (field.number == 2) read_trainer(field.bytes, model);
            if (field.number == 3) read_normalizer(field.bytes, model);
        });
        require_sense(model);
    } catch (const DataError& error) {
        throw DataError(file.string() +
                        ": not a SentencePiece model that can be read: " + error.what());
    }
    return model;
}

}  // namespace lathe::tokenizer
