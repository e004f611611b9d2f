#include "lib/encoding/encoded_tensor.hpp"

#include <array>
#include <charconv>
#include <span>
#include <sstream>

#include "lib/core/dtype.hpp"
#include "lib/encoding/encoding_table.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lathe::fuzz {
namespace {

/// A number of the input, 0 for what is none.
template <class T>
T number(std::string_view text) {
    T value{};
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

Shape shape(std::istringstream& words) {
    Shape shape;
    for (std::string word; words >> word && word != ";";) {
        shape.push_back(number<std::size_t>(word));
    }
    return shape;
}

/// "ENCODING EXTENT ... ; KEY VALUE ... ; PART DTYPE EXTENT ... ; PART ..." in the first line, as
/// it comes out of a file whose HDF5 is sound. The bytes behind it go to the parts in turn.
EncodedTensor tensor_of(std::string_view input) {
    const std::size_t line_end = std::min(input.find('\n'), input.size());
    std::istringstream words{std::string(input.substr(0, line_end))};
    std::string_view data = input.substr(std::min(line_end + 1, input.size()));
    EncodedTensor tensor;
    words >> tensor.encoding;
    tensor.shape = shape(words);
    for (std::string key, value; words >> key && key != ";" && words >> value;) {
        tensor.settings[key] = number<std::int64_t>(value);
    }
    for (std::string name, type; words >> name >> type;) {
        TensorPart part{name, dtype_from_name(type), shape(words), {}};
        // The reader has allotted what the shape says and read as much.
        std::uint64_t bytes = size_bytes(part.dtype);
        bool overflow = false;
        for (const std::size_t extent : part.shape) {
            overflow = overflow || __builtin_mul_overflow(bytes, std::uint64_t{extent}, &bytes);
        }
        if (overflow || bytes > data.size()) throw DataError("more than the file holds");
        const auto taken = std::as_bytes(std::span(data.substr(0, bytes)));
        part.bytes.assign(taken.begin(), taken.end());
        data.remove_prefix(bytes);
        tensor.parts.push_back(std::move(part));
    }
    return tensor;
}

/// Every row as kernels read it.
void read_rows(const CodedMatrix& matrix) {
    const std::size_t groups = (matrix.cols + matrix.group_size - 1) / matrix.group_size;
    std::vector<std::uint8_t> codes(matrix.cols);
    std::vector<float> scales(groups * (matrix.uniform ? 1 : matrix.num_bits));
    std::vector<float> offsets(groups);
    for (std::size_t row = 0; row < matrix.rows; ++row) {
        matrix.read(row, codes.data(), scales.data(), offsets.data());
        for (const std::uint8_t code : codes)
            require(code >> matrix.num_bits == 0, "a code of its width");
    }
}

void read_rows(const NmMatrix& matrix) {
    std::vector<std::uint8_t> keep(matrix.cols);
    std::vector<float> values(matrix.stored());
    std::vector<std::uint8_t> codes(matrix.stored());
    std::vector<float> scales(matrix.groups() * matrix.scales_per_group());
    std::vector<float> offsets(matrix.groups());
    const bool coded = matrix.num_bits > 0;
    for (std::size_t row = 0; row < matrix.rows; ++row) {
        matrix.read(
            row, {keep.data(), coded ? nullptr : values.data(), coded ? codes.data() : nullptr,
                  coded ? scales.data() : nullptr, matrix.has_offsets ? offsets.data() : nullptr});
        std::size_t kept = 0;
        for (const std::uint8_t one : keep) kept += one;
        require(kept == matrix.stored(), "n of each m columns are kept");
    }
}

}  // namespace
}  // namespace lathe::fuzz

// What stands in a compressed checkpoint for a tensor, in every encoding.
LATHE_FUZZ_TARGET(encoded_tensor) {
    using namespace lathe;
    fuzz::refuse_or([&] {
        const EncodedTensor tensor = fuzz::tensor_of(input);
        validate(tensor, "tensor");
        (void)content_hash(tensor);
        const auto [rows, cols] = matrix_extents(tensor.shape);
        // Few stored bytes may stand for many values; they are decoded a matrix at a time.
        if (rows > 4096 || cols > 4096 || rows * cols > 65536) return;
        std::vector<float> values(rows * cols);
        decode(tensor, {values.data(), rows, cols});
        const EncodingRow* encoding = find_encoding(tensor.encoding);
        if (encoding->matrix == nullptr || tensor.shape.size() != 2) return;
        if (const auto stored = encoding->matrix(tensor)) {
            std::visit([](const auto& matrix) { fuzz::read_rows(matrix); }, *stored);
        }
    });
}
