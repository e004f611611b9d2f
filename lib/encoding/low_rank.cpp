#include "lib/encoding/low_rank.hpp"

#include <algorithm>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

/// Whether two factors have a product of this shape.
bool fit(const EncodedTensor& left, const EncodedTensor& right, const Shape& shape) {
    return left.shape.size() == 2 && right.shape.size() == 2 && left.shape[1] == right.shape[0] &&
           shape == Shape{left.shape[0], right.shape[1]};
}

void validate_low_rank(const EncodedTensor& tensor, const std::string& where) {
    check_setting_names(tensor, {}, where);
    check_part_names(tensor, {}, where);
    if (tensor.pieces.size() != 2) {
        throw DataError(where + ": encoding 'low_rank' has " +
                        std::to_string(tensor.pieces.size()) + " pieces, expected 2");
    }
    const EncodedTensor& left = tensor.pieces[0];
    const EncodedTensor& right = tensor.pieces[1];
    if (!left.pieces.empty() || !right.pieces.empty()) {
        throw DataError(where + ": a factor of encoding 'low_rank' is itself made of pieces");
    }
    if (!fit(left, right, tensor.shape) || left.shape[1] == 0 ||
        left.shape[1] > std::min(tensor.shape[0], tensor.shape[1])) {
        throw DataError(where + ": factors of shapes " + to_string(left.shape) + " and " +
                        to_string(right.shape) + " do not make a low-rank matrix of shape " +
                        to_string(tensor.shape));
    }
}

std::vector<float> decoded(const EncodedTensor& tensor) {
    std::vector<float> values(element_count(tensor.shape));
    decode(tensor, {values.data(), tensor.shape[0], tensor.shape[1]});
    return values;
}

void decode_low_rank(const EncodedTensor& tensor, MatrixView<float> values) {
    const std::vector<float> left = decoded(tensor.pieces[0]);
    const std::vector<float> right = decoded(tensor.pieces[1]);
    const std::size_t rank = tensor.pieces[0].shape[1];
    std::vector<double> sums(values.cols);
    for (std::size_t i = 0; i < values.rows; ++i) {
        std::ranges::fill(sums, 0.0);
        for (std::size_t k = 0; k < rank; ++k) {
            const double factor = left[i * rank + k];
            const float* row = right.data() + k * values.cols;
            for (std::size_t j = 0; j < values.cols; ++j) {
                sums[j] += factor * double{row[j]};
            }
        }
        std::ranges::transform(sums, values.row(i), [](double x) { return static_cast<float>(x); });
    }
}

}  // namespace

EncodedTensor encode_low_rank(EncodedTensor left, EncodedTensor right) {
    const Shape shape{left.shape.at(0), right.shape.at(1)};
    if (!fit(left, right, shape)) {
        throw ShapeError("factors of shapes " + to_string(left.shape) + " and " +
                         to_string(right.shape) + " have no product");
    }
    EncodedTensor tensor{.encoding = "low_rank", .shape = shape, .settings = {}, .parts = {}};
    tensor.pieces.push_back(std::move(left));
    tensor.pieces.push_back(std::move(right));
    return tensor;
}

EncodingRow low_rank_encoding() {
    return {"low_rank", validate_low_rank, decode_low_rank, nullptr, true};
}

}  // namespace lathe
