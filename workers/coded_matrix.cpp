#include "workers/coded_matrix.hpp"

#include "lib/core/half.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/integer.hpp"

namespace lathe {
namespace {

kernels::CodedMatrix from_integer(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const auto group_size = static_cast<std::size_t>(tensor.settings.at("group_size"));
    const std::size_t n_groups = groups_per_row(cols, group_size);
    const std::byte* scale_bytes = part(tensor, "scales").bytes.data();
    const bool symmetric = tensor.settings.at("symmetric") != 0;
    const std::byte* zeros = symmetric ? nullptr : part(tensor, "zeros").bytes.data();
    return {rows,
            cols,
            static_cast<unsigned>(tensor.settings.at("num_bits")),
            group_size,
            true,
            !symmetric,
            kernels::LookupTables::fp32,
            [&tensor, scale_bytes, zeros, n_groups](std::size_t row, std::uint8_t* codes,
                                                    float* scales, float* offsets) {
                unpack_codes(tensor, row, codes);
                to_float(scale_bytes + row * n_groups * 2, DType::f16, {scales, n_groups});
                for (std::size_t g = 0; zeros != nullptr && g < n_groups; ++g) {
                    offsets[g] = static_cast<float>(
                        std::to_integer<std::uint8_t>(zeros[row * n_groups + g]));
                }
            }};
}

kernels::CodedMatrix from_bcq(const EncodedTensor& tensor) {
    const BcqLayout layout = bcq_layout(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    return {rows,
            cols,
            layout.num_bits,
            layout.group_size,
            layout.uniform,
            layout.offset,
            kernels::LookupTables::fp32,
            [&tensor](std::size_t row, std::uint8_t* codes, float* scales, float* offsets) {
                unpack_bcq_codes(tensor, row, codes);
                read_bcq_terms(tensor, row, scales, offsets);
            }};
}

}  // namespace

bool has_codes(const EncodedTensor& tensor) {
    return tensor.encoding == "integer" || tensor.encoding == "bcq";
}

kernels::CodedMatrix coded_matrix(const EncodedTensor& tensor) {
    return tensor.encoding == "bcq" ? from_bcq(tensor) : from_integer(tensor);
}

kernels::CodedMatrix selected_rows(const kernels::CodedMatrix& matrix,
                                   std::span<const std::uint32_t> rows) {
    kernels::CodedMatrix selected = matrix;
    selected.rows = rows.size();
    selected.read = [read = matrix.read, rows](std::size_t row, std::uint8_t* codes, float* scales,
                                               float* offsets) {
        read(rows[row], codes, scales, offsets);
    };
    return selected;
}

}  // namespace lathe
