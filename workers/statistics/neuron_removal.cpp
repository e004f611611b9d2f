#include "workers/statistics/neuron_removal.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

namespace lathe {
namespace {

constexpr double damping = 0.01;
/// Removals between two updates of the whole matrices. Within, what changes is kept as factors.
constexpr std::size_t batch = 64;

double dot(const double* a, const double* b, std::size_t n) {
    return std::inner_product(a, a + n, b, 0.0);
}

/// y -= factor * x
void subtract_multiple(double factor, const double* x, std::size_t n, double* y) {
    for (std::size_t k = 0; k < n; ++k) {
        y[k] -= factor * x[k];
    }
}

/// What is left of a layer. V = V0 - R^T R and W = W0 - P R, with a row of R and a column of P for
/// each removal since the matrices V0 and W0 were brought up to date.
class Layer {
public:
    Layer(MatrixView<const float> gram, MatrixView<const float> down,
          const kernels::Backend& backend)
        : backend_(backend),
          n_(gram.cols),
          out_(down.rows),
          inverse_(n_ * n_),
          down_(out_ * n_),
          rows_(batch * n_),
          columns_(batch * out_),
          diagonal_(n_),
          powers_(n_),
          is_left_(n_, true) {
        std::vector<float> factor(n_ * n_);
        backend.inverse_factor(gram, {.damping = damping, .penalty = {}, .order = {}},
                               {factor.data(), n_, n_});
        const std::vector<double> wide(factor.begin(), factor.end());
        const MatrixView<const double> u(wide.data(), n_, n_);
        backend.multiply(u, true, u, false, inverse());
        for (std::size_t i = 0; i < out_; ++i) {
            for (std::size_t k = 0; k < n_; ++k) {
                // A dead neuron, for which the factor has a 1, is missed by nobody.
                down_[i * n_ + k] = gram.row(k)[k] == 0 ? 0.0 : down.row(i)[k];
            }
        }
        count();
    }

    /// Takes away the neuron that is missed least.
    std::size_t remove() {
        const std::size_t j = least();
        if (n_removed_ == batch) {
            update();
        }
        double* row = rows_.data() + n_removed_ * n_;
        double* column = columns_.data() + n_removed_ * out_;
        copy_current(j, row, column);
        ++n_removed_;
        const std::vector<double> seen = products(column);
        const double power = dot(column, column, out_);
        for (std::size_t k = 0; k < n_; ++k) {
            diagonal_[k] -= row[k] * row[k];
            powers_[k] += row[k] * (row[k] * power - 2 * seen[k]);
        }
        is_left_[j] = false;
        return j;
    }

private:
    [[nodiscard]] MatrixView<double> inverse() { return {inverse_.data(), n_, n_}; }

    [[nodiscard]] std::size_t least() const {
        std::size_t best = n_;
        double least = 0;
        for (std::size_t j = 0; j < n_; ++j) {
            const double cost = std::max(powers_[j], 0.0) / diagonal_[j];
            if (is_left_[j] && (best == n_ || cost <= least)) {
                best = j;
                least = cost;
            }
        }
        return best;
    }

    /// V_j: and W_:j, both over sqrt(V_jj).
    void copy_current(std::size_t j, double* row, double* column) const {
        std::copy_n(inverse_.begin() + static_cast<std::ptrdiff_t>(j * n_), n_, row);
        for (std::size_t i = 0; i < out_; ++i) {
            column[i] = down_[i * n_ + j];
        }
        for (std::size_t t = 0; t < n_removed_; ++t) {
            const double* past = rows_.data() + t * n_;
            subtract_multiple(past[j], past, n_, row);
            subtract_multiple(past[j], columns_.data() + t * out_, out_, column);
        }
        const double root = std::sqrt(row[j]);
        std::for_each_n(row, n_, [&](double& value) { value /= root; });
        std::for_each_n(column, out_, [&](double& value) { value /= root; });
    }

    /// p^T W for the newest column p, before its removal.
    [[nodiscard]] std::vector<double> products(const double* p) const {
        std::vector<double> sums(n_);
        backend_.multiply({p, 1, out_}, false, {down_.data(), out_, n_}, false,
                          {sums.data(), 1, n_});
        for (std::size_t t = 0; t + 1 < n_removed_; ++t) {
            const double common = dot(p, columns_.data() + t * out_, out_);
            subtract_multiple(common, rows_.data() + t * n_, n_, sums.data());
        }
        return sums;
    }

    void update() {
        const MatrixView<const double> rows(rows_.data(), n_removed_, n_);
        const MatrixView<const double> columns(columns_.data(), n_removed_, out_);
        subtract(rows, rows, inverse_);
        subtract(columns, rows, down_);
        n_removed_ = 0;
        count();
    }

    /// from -= a^T @ b
    void subtract(MatrixView<const double> a, MatrixView<const double> b,
                  std::vector<double>& from) const {
        std::vector<double> product(from.size());
        backend_.multiply(a, true, b, false, {product.data(), a.cols, b.cols});
        std::ranges::transform(from, product, from.begin(), std::minus<>());
    }

    /// Sets both sums anew, so that rounding does not add up.
    void count() {
        std::ranges::fill(powers_, 0.0);
        for (std::size_t k = 0; k < n_; ++k) {
            diagonal_[k] = inverse_[k * n_ + k];
        }
        for (std::size_t i = 0; i < out_; ++i) {
            for (std::size_t k = 0; k < n_; ++k) {
                powers_[k] += down_[i * n_ + k] * down_[i * n_ + k];
            }
        }
    }

    const kernels::Backend& backend_;
    std::size_t n_;
    std::size_t out_;
    std::vector<double> inverse_;   ///< V0
    std::vector<double> down_;      ///< W0
    std::vector<double> rows_;      ///< R, [batch, n]
    std::vector<double> columns_;   ///< P transposed, [batch, out]
    std::size_t n_removed_ = 0;     ///< rows of R
    std::vector<double> diagonal_;  ///< of V
    std::vector<double> powers_;    ///< |W_j|^2
    std::vector<bool> is_left_;
};

}  // namespace

NeuronOrder removal_order(MatrixView<const float> gram, MatrixView<const float> down,
                          const kernels::Backend& backend) {
    Layer layer(gram, down, backend);
    NeuronOrder order(gram.cols);
    for (auto place = order.rbegin(); place != order.rend(); ++place) {
        *place = static_cast<std::uint32_t>(layer.remove());
    }
    return order;
}

}  // namespace lathe
