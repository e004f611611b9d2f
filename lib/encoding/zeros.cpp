#include "lib/encoding/zeros.hpp"

#include <algorithm>

#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

void validate_zeros(const EncodedTensor& tensor, const std::string& where) {
    check_setting_names(tensor, {}, where);
    check_part_names(tensor, {}, where);
}

void decode_zeros(const EncodedTensor& /*tensor*/, MatrixView<float> values) {
    for (std::size_t i = 0; i < values.rows; ++i) {
        std::fill_n(values.row(i), values.cols, 0.0F);
    }
}

}  // namespace

EncodedTensor encode_zeros(const Shape& shape) {
    return {.encoding = "zeros", .shape = shape, .settings = {}, .parts = {}};
}

EncodingRow zeros_encoding() {
    return {"zeros", validate_zeros, decode_zeros};
}

}  // namespace lathe
