#include "methods/integer_solver.hpp"

#include <algorithm>
#include <numeric>

#include "kernels/backend.hpp"
#include "lib/core/errors.hpp"
#include "methods/output_error.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;
using kernels::IntegerGridSettings;

/// A quantised tensor in the backend's memory.
struct Quantised {
    std::size_t rows;
    std::size_t cols;
    std::size_t n_groups;
    Array<float> scale_memory;
    Array<float> zero_memory;
    Array<std::uint8_t> code_memory;
    Array<float> value_memory;
    std::vector<double> errors;  ///< of each row

    Quantised(std::size_t rows_, std::size_t cols_, std::size_t group_size, const Backend& backend)
        : rows(rows_),
          cols(cols_),
          n_groups(kernels::group_count(cols_, group_size)),
          scale_memory(backend.allocate<float>(rows * n_groups)),
          zero_memory(backend.allocate<float>(rows * n_groups)),
          code_memory(backend.allocate<std::uint8_t>(rows * cols)),
          value_memory(backend.allocate<float>(rows * cols)) {}

    [[nodiscard]] MatrixView<float> scales() const { return scale_memory.matrix(rows, n_groups); }
    [[nodiscard]] MatrixView<float> zeros() const { return zero_memory.matrix(rows, n_groups); }
    [[nodiscard]] MatrixView<std::uint8_t> codes() const { return code_memory.matrix(rows, cols); }
    [[nodiscard]] MatrixView<float> values() const { return value_memory.matrix(rows, cols); }
};

template <class T>
void copy_row(MatrixView<T> from, MatrixView<T> to, std::size_t row) {
    std::copy_n(from.row(row), from.cols, to.row(row));
}

/// Takes over the rows in which `other` is better.
void keep_better_rows(Quantised& best, const Quantised& other) {
    for (std::size_t r = 0; r < best.rows; ++r) {
        if (best.errors[r] <= other.errors[r]) {
            continue;
        }
        copy_row(other.scales(), best.scales(), r);
        copy_row(other.zeros(), best.zeros(), r);
        copy_row(other.codes(), best.codes(), r);
        best.errors[r] = other.errors[r];
    }
}

/// Solves the tensors of one unit; holds what all of them share.
class UnitSolver {
public:
    UnitSolver(const UnitStatistics& statistics, const Backend& backend, std::size_t n_inputs)
        : gram_(statistics.gram),
          backend_(backend),
          output_error_(statistics, backend),
          importance_(backend.allocate<float>(n_inputs)) {
        for (std::size_t i = 0; i < n_inputs; ++i) {
            importance_.data()[i] = has_gram() ? static_cast<float>(gram_(i, i)) : 1.0F;
        }
    }

    [[nodiscard]] bool has_gram() const { return gram_.rows > 0; }

    /// Makes ready for error feedback of this kind.
    void prepare(const ErrorFeedback& feedback) {
        if (!has_gram()) {
            throw InternalError("method integer: solver gptq on a unit without a Gram matrix");
        }
        const std::size_t d = gram_.rows;
        order_ = Array<std::uint32_t>();
        factor_ = Array<float>();
        factor_ = backend_.allocate<float>(d * d);
        if (!feedback.by_power) {
            backend_.inverse_factor(gram_, feedback.damping, factor_.matrix(d, d));
            return;
        }
        order_ = columns_by_power();
        const auto memory = backend_.allocate<double>(d * d);
        const MatrixView<double> permuted = memory.matrix(d, d);
        const std::uint32_t* order = order_.data();
        for (std::size_t i = 0; i < d; ++i) {
            const double* from = gram_.row(order[i]);
            for (std::size_t j = 0; j < d; ++j) {
                permuted(i, j) = from[order[j]];
            }
        }
        backend_.inverse_factor(permuted, feedback.damping, factor_.matrix(d, d));
    }

    /// One tensor under one task; feedback as prepared. Adds to the solution.
    void solve(const IntegerTask& task, const UnitTensor& tensor, UnitSolution& solution) const {
        const Array<float> w = without_dead_inputs(tensor.weight);
        Quantised best = round_to_nearest(task.layout, tensor.weight, w);
        if (task.feedback) {
            Quantised swept = sweep(task.layout, tensor.weight, w);
            keep_better_rows(swept, best);
            best = std::move(swept);
        }
        solution.tensors.push_back(
            encode_integer(tensor.shape, task.layout, best.codes(), best.scales(), best.zeros()));
        solution.error += std::accumulate(best.errors.begin(), best.errors.end(), 0.0);
    }

private:
    [[nodiscard]] Array<std::uint32_t> columns_by_power() const {
        Array<std::uint32_t> order = backend_.allocate<std::uint32_t>(gram_.rows);
        std::iota(order.span().begin(), order.span().end(), 0U);
        std::stable_sort(
            order.span().begin(), order.span().end(),
            [this](std::uint32_t a, std::uint32_t b) { return gram_(a, a) > gram_(b, b); });
        return order;
    }

    /// The weights, with those of inputs that are always zero set to zero: they cost nothing, and
    /// they must not widen the grid of their group.
    [[nodiscard]] Array<float> without_dead_inputs(MatrixView<const float> weight) const {
        Array<float> copy = backend_.allocate<float>(weight.rows * weight.cols);
        const MatrixView<float> w = copy.matrix(weight.rows, weight.cols);
        for (std::size_t r = 0; r < weight.rows; ++r) {
            for (std::size_t j = 0; j < weight.cols; ++j) {
                const bool dead = has_gram() && gram_(j, j) == 0.0;
                w(r, j) = dead ? 0.0F : weight(r, j);
            }
        }
        return copy;
    }

    [[nodiscard]] Quantised round_to_nearest(const IntegerLayout& layout,
                                             MatrixView<const float> weight,
                                             const Array<float>& w) const {
        const IntegerGridSettings grid{layout.num_bits, layout.group_size, layout.symmetric};
        Quantised q(weight.rows, weight.cols, layout.group_size, backend_);
        const MatrixView<const float> matrix = w.matrix(weight.rows, weight.cols);
        backend_.fit_integer_grid(matrix, importance_.span(), grid, q.scales(), q.zeros());
        backend_.round_to_grid(matrix, grid, q.scales(), q.zeros(), q.codes(), q.values());
        q.errors = output_error_.of_rows(weight, q.values());
        return q;
    }

    [[nodiscard]] Quantised sweep(const IntegerLayout& layout, MatrixView<const float> weight,
                                  const Array<float>& w) const {
        const IntegerGridSettings grid{layout.num_bits, layout.group_size, layout.symmetric};
        Quantised q(weight.rows, weight.cols, layout.group_size, backend_);
        std::copy(w.span().begin(), w.span().end(), q.value_memory.data());
        backend_.gptq(q.values(), factor_.matrix(gram_.rows, gram_.rows), importance_.span(),
                      order_.span(), grid, q.scales(), q.zeros(), q.codes());
        q.errors = output_error_.of_rows(weight, q.values());
        return q;
    }

    MatrixView<const double> gram_;
    const Backend& backend_;
    OutputError output_error_;
    Array<float> importance_;
    Array<std::uint32_t> order_;  ///< empty: left to right
    Array<float> factor_;
};

/// The distinct kinds of feedback, in the order of their first task; "none" among them.
std::vector<std::optional<ErrorFeedback>> distinct_feedback(std::span<const IntegerTask> tasks) {
    std::vector<std::optional<ErrorFeedback>> distinct;
    for (const IntegerTask& task : tasks) {
        if (std::find(distinct.begin(), distinct.end(), task.feedback) == distinct.end()) {
            distinct.push_back(task.feedback);
        }
    }
    return distinct;
}

}  // namespace

std::vector<UnitSolution> solve_integer(std::span<const IntegerTask> tasks,
                                        std::span<const UnitTensor> tensors,
                                        const UnitStatistics& statistics, const Backend& backend) {
    std::vector<UnitSolution> solutions(tasks.size());
    if (tensors.empty()) {
        return solutions;
    }
    UnitSolver solver(statistics, backend, tensors.front().weight.cols);
    for (const auto& feedback : distinct_feedback(tasks)) {
        if (feedback) {
            solver.prepare(*feedback);
        }
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            if (tasks[i].feedback != feedback) {
                continue;
            }
            for (const UnitTensor& tensor : tensors) {
                solver.solve(tasks[i], tensor, solutions[i]);
            }
        }
    }
    return solutions;
}

}  // namespace lathe
