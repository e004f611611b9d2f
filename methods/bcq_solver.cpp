#include "methods/bcq_solver.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "kernels/backend.hpp"
#include "kernels/binary_codes.hpp"
#include "lib/core/errors.hpp"
#include "methods/output_error.hpp"
#include "methods/splitting.hpp"
#include "methods/stacked_unit.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;
using kernels::BinaryCodeSettings;

// Measured on layers of a trained model, 2 and 3 bits: the error falls by 20 % in the first pass,
// by a few per cent in each of the next ones.
constexpr std::size_t n_descent_passes = 8;

/// A binary coding of a matrix [rows, cols] in a backend's memory.
struct BinaryCoded {
    std::size_t rows;
    std::size_t cols;
    std::size_t n_groups;
    BinaryCodeSettings settings;
    Array<float> scales;
    Array<float> offsets;
    Array<std::uint8_t> codes;
    std::vector<double> errors;  ///< squared output error of each row

    BinaryCoded(std::size_t rows_, std::size_t cols_, const BinaryCodeSettings& settings_,
                const Backend& backend)
        : rows(rows_),
          cols(cols_),
          n_groups(kernels::group_count(cols_, settings_.group_size)),
          settings(settings_),
          scales(backend.allocate<float>(rows * n_groups * settings.num_bits)),
          offsets(backend.allocate<float>(rows * n_groups)),
          codes(backend.allocate<std::uint8_t>(rows * cols)) {}

    [[nodiscard]] kernels::BinaryCodes view() const {
        return {scales.matrix(rows, n_groups * settings.num_bits), offsets.matrix(rows, n_groups),
                codes.matrix(rows, cols)};
    }

    /// Takes over the rows in which `other` is better, or all of them.
    void take_rows(const BinaryCoded& other, bool all) {
        errors.resize(rows);
        for (std::size_t r = 0; r < rows; ++r) {
            if (!all && errors[r] <= other.errors[r]) {
                continue;
            }
            const auto copy = [r](const auto& from, const auto& to) {
                std::copy_n(from.row(r), from.cols, to.row(r));
            };
            copy(other.view().scales, view().scales);
            copy(other.view().offsets, view().offsets);
            copy(other.view().codes, view().codes);
            errors[r] = other.errors[r];
        }
    }
};

/// Solves one unit; holds what its tasks share.
class UnitSolver {
public:
    UnitSolver(std::span<const UnitTensor> tensors, const UnitStatistics& statistics,
               const Backend& backend)
        : gram_(statistics.gram),
          backend_(backend),
          unit_(tensors, statistics, backend),
          output_error_(statistics, backend),
          value_memory_(backend.allocate<float>(unit_.rows() * unit_.cols())) {}

    [[nodiscard]] UnitSolution solve(const BcqTask& task) {
        const BinaryCodeSettings settings{task.layout.num_bits, task.layout.group_size,
                                          task.layout.offset, task.n_rounds};
        BinaryCoded best(unit_.rows(), unit_.cols(), settings, backend_);
        backend_.fit_binary_codes(unit_.weight(), unit_.importance(), settings, best.view());
        write_values(best);
        best.errors = output_error_.of_rows(unit_.weight(), values());
        if (task.feedback) {
            best.take_rows(sweep(task.damping, settings), false);
        }
        if (task.descend) {
            BinaryCoded trial(unit_.rows(), unit_.cols(), settings, backend_);
            trial.take_rows(best, true);
            backend_.descend_on_binary_codes(unit_.weight(), output_error_.gram(), settings,
                                             n_descent_passes, trial.view(), values());
            trial.errors = output_error_.of_rows(unit_.weight(), values());
            best.take_rows(trial, false);
        }
        return encoded(task, best);
    }

private:
    [[nodiscard]] MatrixView<float> values() const {
        return value_memory_.matrix(unit_.rows(), unit_.cols());
    }

    [[nodiscard]] BinaryCoded sweep(double damping, const BinaryCodeSettings& settings) {
        if (gram_.rows == 0) {
            throw InternalError("error feedback needs a Gram matrix; the unit has none");
        }
        if (!factors_ || factors_->damping() != damping) {
            factors_.emplace(gram_, damping, backend_);
        }
        BinaryCoded coded(unit_.rows(), unit_.cols(), settings, backend_);
        for (std::size_t r = 0; r < unit_.rows(); ++r) {
            std::copy_n(unit_.weight().row(r), unit_.cols(), values().row(r));
        }
        backend_.sweep_binary_codes(values(), factors_->inverse_factor(), unit_.importance(),
                                    settings, coded.view());
        coded.errors = output_error_.of_rows(unit_.weight(), values());
        return coded;
    }

    void write_values(const BinaryCoded& coded) const {
        const kernels::BinaryCodes codes = coded.view();
        const unsigned num_bits = coded.settings.num_bits;
        for (std::size_t r = 0; r < coded.rows; ++r) {
            for (std::size_t j = 0; j < coded.cols; ++j) {
                const std::size_t g = j / coded.settings.group_size;
                values()(r, j) =
                    kernels::coded_value(codes.codes(r, j), codes.scales.row(r) + g * num_bits,
                                         codes.offsets(r, g), num_bits, false);
            }
        }
    }

    [[nodiscard]] UnitSolution encoded(const BcqTask& task, const BinaryCoded& coded) const {
        UnitSolution solution;
        for (std::size_t t = 0; t < unit_.tensors().size(); ++t) {
            const kernels::BinaryCodes codes = coded.view();
            solution.tensors.push_back(
                encode_bcq(unit_.tensors()[t].shape, task.layout, unit_.rows_of(t, codes.codes),
                           unit_.rows_of(t, codes.scales), unit_.rows_of(t, codes.offsets)));
        }
        solution.error = std::accumulate(coded.errors.begin(), coded.errors.end(), 0.0);
        return solution;
    }

    MatrixView<const double> gram_;
    const Backend& backend_;
    StackedUnit unit_;
    OutputError output_error_;
    Array<float> value_memory_;
    std::optional<UnitFactors> factors_;
};

}  // namespace

std::vector<UnitSolution> solve_bcq(std::span<const BcqTask> tasks,
                                    std::span<const UnitTensor> tensors,
                                    const UnitStatistics& statistics, const Backend& backend) {
    std::vector<UnitSolution> solutions;
    if (tensors.empty()) {
        solutions.resize(tasks.size());
        return solutions;
    }
    UnitSolver solver(tensors, statistics, backend);
    for (const BcqTask& task : tasks) {
        solutions.push_back(solver.solve(task));
    }
    return solutions;
}

}  // namespace lathe
