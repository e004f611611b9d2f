#include "lib/encoding/split.hpp"

#include <utility>

#include "lib/core/errors.hpp"
#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

/// Places of the extents in a shape.
struct Extents {
    std::size_t along;
    std::size_t across;
};

Extents extents(SplitAxis axis) {
    return axis == SplitAxis::rows ? Extents{0, 1} : Extents{1, 0};
}

void validate_split(const EncodedTensor& tensor, const std::string& where) {
    check_setting_names(tensor, {"axis"}, where);
    checked_setting(tensor, "axis", 0, 1, where);
    check_part_names(tensor, {}, where);
    if (tensor.shape.size() != 2 || tensor.pieces.empty()) {
        throw DataError(where + ": encoding 'split' of shape " + to_string(tensor.shape) + " has " +
                        std::to_string(tensor.pieces.size()) +
                        " pieces, expected a matrix and at least 1");
    }
    const auto [along, across] = extents(split_axis(tensor));
    std::size_t sum = 0;
    for (const EncodedTensor& piece : tensor.pieces) {
        if (piece.encoding == "split" || piece.shape.size() != 2 || piece.shape[along] == 0 ||
            piece.shape[along] > tensor.shape[along] - sum ||
            piece.shape[across] != tensor.shape[across]) {
            throw DataError(where + ": a piece in encoding '" + piece.encoding + "' of shape " +
                            to_string(piece.shape) + " does not fit into " +
                            to_string(tensor.shape) + " behind " + std::to_string(sum) +
                            " along axis " + std::to_string(along));
        }
        sum += piece.shape[along];
    }
    if (sum != tensor.shape[along]) {
        throw DataError(where + ": the pieces fill " + std::to_string(sum) + " of " +
                        std::to_string(tensor.shape[along]) + " along axis " +
                        std::to_string(along));
    }
}

void decode_split(const EncodedTensor& tensor, MatrixView<float> values) {
    const bool by_rows = split_axis(tensor) == SplitAxis::rows;
    std::size_t begin = 0;
    for (const EncodedTensor& piece : tensor.pieces) {
        const std::size_t count = piece.shape[by_rows ? 0 : 1];
        decode(piece, by_rows ? values.row_range(begin, count) : values.col_range(begin, count));
        begin += count;
    }
}

}  // namespace

EncodedTensor encode_split(SplitAxis axis, std::vector<EncodedTensor> pieces) {
    EncodedTensor tensor{.encoding = "split",
                         .shape = pieces.at(0).shape,
                         .settings = {{"axis", static_cast<std::int64_t>(axis)}},
                         .parts = {},
                         .pieces = std::move(pieces)};
    const auto [along, across] = extents(axis);
    tensor.shape.at(along) = 0;
    for (const EncodedTensor& piece : tensor.pieces) {
        if (piece.shape.at(across) != tensor.shape[across]) {
            throw ShapeError("pieces of a split have shapes " + to_string(piece.shape) + " and " +
                             to_string(tensor.pieces.front().shape));
        }
        tensor.shape[along] += piece.shape.at(along);
    }
    return tensor;
}

SplitAxis split_axis(const EncodedTensor& split) {
    return static_cast<SplitAxis>(split.settings.at("axis"));
}

std::optional<EncodedTensor> whole_pieces(const EncodedTensor& split, std::size_t begin,
                                          std::size_t count) {
    std::vector<EncodedTensor> pieces;
    std::size_t at = 0;
    for (const EncodedTensor& piece : split.pieces) {
        const std::size_t end = at + piece.shape.at(0);
        if (at >= begin && end <= begin + count) {
            pieces.push_back(piece);
        } else if (end > begin && at < begin + count) {
            return std::nullopt;
        }
        at = end;
    }
    if (split_axis(split) != SplitAxis::rows || pieces.empty()) {
        return std::nullopt;
    }
    return encode_split(SplitAxis::rows, std::move(pieces));
}

EncodingRow split_encoding() {
    return {"split", validate_split, decode_split, nullptr, true};
}

}  // namespace lathe
