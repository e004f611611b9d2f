#include "methods/dense.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/encoding/dense.hpp"
#include "methods/output_error.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

std::optional<std::string> read_dtype(const std::string& text) {
    static constexpr std::array<std::string_view, 3> words = {"source", "float16", "bfloat16"};
    return read_word(text, words);
}

constexpr std::array<SettingKey, 1> keys = {
    SettingKey{"dtype", "source", read_dtype, "source, float16 or bfloat16"}};

/// The type in which a tensor is stored.
DType stored_dtype(const Setting& setting, DType source_dtype) {
    const std::string& dtype = setting_value(setting, "dtype");
    if (dtype != "source") {
        return dtype_from_name(dtype);
    }
    return source_dtype == DType::f64 ? DType::f32 : source_dtype;
}

std::vector<Setting> expand(const CandidateEntry& entry) {
    return expand_keys(entry, keys);
}

std::uint64_t bytes(const Setting& setting, const Shape& shape, DType source_dtype) {
    return element_count(shape) * size_bytes(stored_dtype(setting, source_dtype));
}

double flops(const Setting& setting, const Shape& shape) {
    const auto [rows, cols] = matrix_extents(shape);
    const double product = static_cast<double>(rows * cols) * static_cast<double>(cols);
    return setting_value(setting, "dtype") == "source" ? 0.0 : product;
}

std::string refuses(const Setting& setting, const UnitSpec& /*unit*/, const Shape& /*shape*/,
                    DType source_dtype) {
    const std::string& dtype = setting_value(setting, "dtype");
    if (dtype == "source" || size_bytes(source_dtype) > 2) {
        return "";
    }
    return "the source has 16 bits already (" + std::string(name(source_dtype)) + "); dtype " +
           dtype + " would save nothing";
}

/// The largest finite number of a 16-bit type.
float largest_number(DType dtype) {
    return dtype == DType::f16 ? 65504.0F : 0x1.FEp127F;
}

/// Copy of the weights with those that a 16-bit type cannot reach set to its largest number.
std::vector<float> within_range(MatrixView<const float> weight, DType dtype) {
    const float limit = largest_number(dtype);
    std::vector<float> values(weight.rows * weight.cols);
    for (std::size_t r = 0; r < weight.rows; ++r) {
        std::transform(weight.row(r), weight.row(r) + weight.cols,
                       values.begin() + static_cast<std::ptrdiff_t>(r * weight.cols),
                       [&](float value) { return std::clamp(value, -limit, limit); });
    }
    return values;
}

UnitSolution solve_one(const Setting& setting, std::span<const UnitTensor> tensors,
                       const UnitStatistics& statistics, const kernels::Backend& backend) {
    UnitSolution solution;
    if (setting_value(setting, "dtype") == "source") {
        for (const UnitTensor& tensor : tensors) {
            const DType dtype = stored_dtype(setting, tensor.source_dtype);
            solution.tensors.push_back(encode_dense(tensor.weight, tensor.shape, dtype));
        }
        return solution;
    }
    const OutputError output_error(statistics, backend);
    for (const UnitTensor& tensor : tensors) {
        const DType dtype = stored_dtype(setting, tensor.source_dtype);
        std::vector<float> values = within_range(tensor.weight, dtype);
        const MatrixView<float> view(values.data(), tensor.weight.rows, tensor.weight.cols);
        solution.tensors.push_back(encode_dense(view, tensor.shape, dtype));
        decode(solution.tensors.back(), view);
        solution.error += output_error.of_tensor(tensor.weight, view);
    }
    return solution;
}

std::vector<UnitSolution> solve(std::span<const Setting> settings,
                                std::span<const UnitTensor> tensors,
                                const UnitStatistics& statistics, const kernels::Backend& backend) {
    std::vector<UnitSolution> solutions;
    for (const Setting& setting : settings) {
        solutions.push_back(solve_one(setting, tensors, statistics, backend));
    }
    return solutions;
}

std::optional<EncodedTensor> outline(const Setting& /*setting*/, const Shape& shape) {
    return dense_outline(shape);
}

}  // namespace

MethodRow dense_method() {
    MethodRow row{"dense", expand, bytes, flops, refuses, solve};
    row.outline = outline;
    row.shared_by_rows = [](const Setting& /*setting*/) { return GramFactors(); };
    return row;
}

Setting source_setting() {
    return {"dense", {{"dtype", "source"}}};
}

}  // namespace lathe
