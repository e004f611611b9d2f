#include "methods/ffsplit_solver.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "lib/encoding/zeros.hpp"
#include "methods/host_matrix.hpp"
#include "methods/output_error.hpp"

namespace lathe {

std::vector<FfSplit::Range> FfSplit::ranges() const {
    std::vector<Range> all;
    for (std::size_t layer = 0; layer < layers; ++layer) {
        all.push_back({layer * neurons, heavy, true});
        all.push_back({layer * neurons + heavy, neurons - heavy, false});
    }
    return all;
}

const Setting* FfSplit::setting_of(const Range& range) const {
    return range.is_heavy ? &heavy_setting : light_setting ? &*light_setting : nullptr;
}

Shape FfSplit::shape_of(const Range& range, const Shape& shape) const {
    return axis == SplitAxis::rows ? Shape{range.count, shape.at(1)}
                                   : Shape{shape.at(0), range.count};
}

namespace {

/// What is left of the mean diagonal of a Gram matrix is added to it where it is inverted.
constexpr double damping = 0.01;

EncodedTensor solve_part(const Setting& setting, MatrixView<const float> weight, DType dtype,
                         const UnitStatistics& statistics, const kernels::Backend& backend) {
    const UnitTensor tensor{weight, {weight.rows, weight.cols}, dtype};
    return std::move(find_method(setting.method, "candidates")
                         .solve({&setting, 1}, {&tensor, 1}, statistics, backend)
                         .front()
                         .tensors.front());
}

template <class T, class U>
HostMatrix<T> copy_of(MatrixView<const U> from) {
    HostMatrix<T> copy{from.rows, from.cols};
    for (std::size_t i = 0; i < from.rows; ++i) {
        std::transform(from.row(i), from.row(i) + from.cols, copy.view().row(i),
                       [](U value) { return static_cast<T>(value); });
    }
    return copy;
}

/// Splits of a unit by rows: what several splits have in common is solved once.
class RowSolver {
public:
    RowSolver(std::span<const UnitTensor> tensors, const UnitStatistics& statistics,
              const kernels::Backend& backend)
        : tensors_(tensors), statistics_(statistics), backend_(backend) {}

    std::vector<EncodedTensor> solve(const FfSplit& split) {
        std::vector<EncodedTensor> solved;
        for (std::size_t t = 0; t < tensors_.size(); ++t) {
            std::vector<EncodedTensor> pieces;
            for (const FfSplit::Range& range : split.ranges()) {
                const Setting* setting = split.setting_of(range);
                pieces.push_back(setting == nullptr
                                     ? encode_zeros(split.shape_of(range, tensors_[t].shape))
                                     : piece(*setting, t, range));
            }
            solved.push_back(encode_split(SplitAxis::rows, std::move(pieces)));
        }
        return solved;
    }

    /// Solves the parts of all splits; what methods make of the Gram matrix is made once for all of
    /// a method's settings of one range.
    void prepare(std::span<const FfSplit> splits) {
        std::map<std::tuple<std::string, std::size_t, std::size_t>, std::vector<Setting>> wanted;
        for (const FfSplit& split : splits) {
            for (const FfSplit::Range& range : split.ranges()) {
                if (const Setting* setting = split.setting_of(range)) {
                    auto& own = wanted[{setting->method, range.begin, range.count}];
                    if (std::ranges::find(own, *setting) == own.end()) {
                        own.push_back(*setting);
                    }
                }
            }
        }
        for (const auto& [key, settings] : wanted) {
            const auto& [method, begin, count] = key;
            std::vector<UnitTensor> parts;
            for (const UnitTensor& tensor : tensors_) {
                parts.push_back({tensor.weight.row_range(begin, count),
                                 {count, tensor.weight.cols},
                                 tensor.source_dtype});
            }
            auto solutions =
                find_method(method, "candidates").solve(settings, parts, statistics_, backend_);
            for (std::size_t s = 0; s < settings.size(); ++s) {
                solved_[{settings[s], begin, count}] = std::move(solutions[s].tensors);
            }
        }
    }

private:
    [[nodiscard]] const EncodedTensor& piece(const Setting& setting, std::size_t tensor,
                                             const FfSplit::Range& range) const {
        return solved_.at({setting, range.begin, range.count}).at(tensor);
    }

    std::span<const UnitTensor> tensors_;
    const UnitStatistics& statistics_;
    const kernels::Backend& backend_;
    /// Of each tensor, by setting and range.
    std::map<std::tuple<Setting, std::size_t, std::size_t>, std::vector<EncodedTensor>> solved_;
};

/// Splits of a tensor by columns, all with as many heavy neurons.
class ColumnSolver {
public:
    ColumnSolver(const UnitTensor& tensor, std::size_t heavy, const UnitStatistics& statistics,
                 const kernels::Backend& backend)
        : backend_(backend),
          dtype_(tensor.source_dtype),
          heavy_(copy_of<float>(tensor.weight.col_range(0, heavy))),
          light_(copy_of<float>(tensor.weight.col_range(heavy, tensor.weight.cols - heavy))),
          heavy_gram_(copy_of<float>(part(statistics.gram, 0, heavy, 0, heavy))),
          light_gram_(
              copy_of<float>(part(statistics.gram, heavy, light_.cols, heavy, light_.cols))),
          cross_(copy_of<double>(part(statistics.gram, 0, heavy, heavy, light_.cols))) {}

    EncodedTensor solve(const FfSplit& split) {
        std::vector<EncodedTensor> pieces;
        if (!split.light_setting) {
            // The whole light part is missing.
            const HostMatrix<float> target =
                with_missing(heavy_, light_, cross_, true, heavy_gram_);
            pieces.push_back(solve_part(split.heavy_setting, target.view(), dtype_,
                                        {heavy_gram_.view(), {}}, backend_));
            pieces.push_back(encode_zeros({light_.rows, light_.cols}));
            return encode_split(SplitAxis::columns, std::move(pieces));
        }
        auto [found, is_new] = by_heavy_.try_emplace(split.heavy_setting);
        if (is_new) {
            found->second = solve_heavy(split.heavy_setting);
        }
        pieces.push_back(found->second.tensor);
        pieces.push_back(solve_part(*split.light_setting, found->second.light_target.view(), dtype_,
                                    {light_gram_.view(), {}}, backend_));
        return encode_split(SplitAxis::columns, std::move(pieces));
    }

private:
    struct Heavy {
        EncodedTensor tensor;
        HostMatrix<float> light_target;
    };

    static MatrixView<const float> part(MatrixView<const float> gram, std::size_t row,
                                        std::size_t n_rows, std::size_t col, std::size_t n_cols) {
        return gram.row_range(row, n_rows).col_range(col, n_cols);
    }

    Heavy solve_heavy(const Setting& setting) const {
        Heavy heavy{solve_part(setting, heavy_.view(), dtype_, {heavy_gram_.view(), {}}, backend_),
                    {}};
        HostMatrix<float> missing = decoded(heavy.tensor);
        std::transform(heavy_.values.begin(), heavy_.values.end(), missing.values.begin(),
                       missing.values.begin(), std::minus<>());
        heavy.light_target = with_missing(light_, missing, cross_, false, light_gram_);
        return heavy;
    }

    /// own + missing @ cross @ (gram + damping)^-1: weights that do what they did and what
    /// `missing` did, as well as their own inputs can.
    HostMatrix<float> with_missing(const HostMatrix<float>& own, const HostMatrix<float>& missing,
                                   const HostMatrix<double>& cross, bool transposed,
                                   const HostMatrix<float>& gram) const {
        const std::size_t n = gram.rows;
        HostMatrix<float> factor{n, n};
        backend_.inverse_factor(gram.view(), {.damping = damping, .penalty = {}, .order = {}},
                                factor.view());
        const HostMatrix<double> wide = copy_of<double>(missing.view());
        const HostMatrix<double> root = copy_of<double>(std::as_const(factor).view());
        HostMatrix<double> seen{own.rows, n};
        HostMatrix<double> half{own.rows, n};
        backend_.multiply(wide.view(), false, cross.view(), transposed, seen.view());
        backend_.multiply(std::as_const(seen).view(), false, root.view(), true, half.view());
        backend_.multiply(std::as_const(half).view(), false, root.view(), false, seen.view());
        HostMatrix<float> sum = own;
        std::transform(sum.values.begin(), sum.values.end(), seen.values.begin(),
                       sum.values.begin(),
                       [](float a, double b) { return static_cast<float>(double{a} + b); });
        return sum;
    }

    const kernels::Backend& backend_;
    DType dtype_;
    HostMatrix<float> heavy_;
    HostMatrix<float> light_;
    HostMatrix<float> heavy_gram_;
    HostMatrix<float> light_gram_;
    HostMatrix<double> cross_;  ///< [heavy, light]
    std::map<Setting, Heavy> by_heavy_;
};

void solve_columns(std::span<const FfSplit> splits, const UnitTensor& tensor,
                   const UnitStatistics& statistics, const kernels::Backend& backend,
                   std::vector<UnitSolution>& solutions) {
    std::map<std::size_t, ColumnSolver> by_size;
    for (std::size_t s = 0; s < splits.size(); ++s) {
        const auto found =
            by_size.try_emplace(splits[s].heavy, tensor, splits[s].heavy, statistics, backend);
        solutions[s].tensors.push_back(found.first->second.solve(splits[s]));
    }
}

}  // namespace

std::vector<UnitSolution> solve_ffsplit(std::span<const FfSplit> splits,
                                        std::span<const UnitTensor> tensors,
                                        const UnitStatistics& statistics,
                                        const kernels::Backend& backend) {
    std::vector<UnitSolution> solutions(splits.size());
    if (!splits.empty() && splits.front().axis == SplitAxis::columns) {
        for (const UnitTensor& tensor : tensors) {
            solve_columns(splits, tensor, statistics, backend, solutions);
        }
    } else {
        RowSolver solver(tensors, statistics, backend);
        solver.prepare(splits);
        std::ranges::transform(splits, solutions.begin(), [&](const FfSplit& split) {
            return UnitSolution{solver.solve(split), 0.0};
        });
    }
    const OutputError output_error(statistics, backend);
    for (UnitSolution& solution : solutions) {
        for (std::size_t t = 0; t < tensors.size(); ++t) {
            solution.error +=
                output_error.of_tensor(tensors[t].weight, decoded(solution.tensors[t]).view());
        }
    }
    return solutions;
}

}  // namespace lathe
