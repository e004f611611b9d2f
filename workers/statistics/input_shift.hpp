#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "workers/chain/shared_sums.hpp"

namespace lathe {

/// What a unit reads in a model that is compressed up to it, x', and what is missing there compared
/// with the source: sums over calibration tokens. The weights that make up for it follow from these
/// sums.
///
/// Say the unit's input lacks m = x - x', and what its output is added to lacks n. The weights V
/// that come nearest to the source's sum minimise E |W x' + W m + n - V x'|^2. They are
///   V = W + (W E[m x'^T] + E[n x'^T]) G^-1   with   G = E[x' x'^T],
/// and any other V' costs tr((V - V') G (V - V')^T) more. So a method solves the unit for the
/// target V on G just as it solves W on the source's Gram matrix. (Li et al. 2025,
/// arXiv:2504.02692, do so for m inside of error feedback.)
///
/// A penalty p * diag G is added to the G that is inverted, so that directions which calibration
/// hardly shows stay as they are. How large it should be depends on how many tokens there were; it
/// is chosen on tokens that the correction was not fitted to.
class InputShift {
public:
    /// @pre  `backend` outlives the object
    explicit InputShift(const kernels::Backend& backend) : backend_(backend) {}

    /// The next batch's x', in backend memory. [tokens, width]. With factors, one for each token, a
    /// token counts in all sums as often as the square of its factor.
    void add(MatrixView<const float> x, std::span<const float> factors = {});
    /// m and n of the same tokens, in host memory. [tokens, width], [tokens, rows of W]. Either may
    /// be left out, then always.
    void add_missing_input(MatrixView<const float> missing) { accumulate(missing, &Sums::input); }
    void add_missing_output(MatrixView<const float> missing) { accumulate(missing, &Sums::output); }

    /// Features of x'; 0 if there was none.
    [[nodiscard]] std::size_t width() const { return width_; }
    /// G, both triangles. [width, width]
    [[nodiscard]] std::vector<float> gram() const;

    /// The weights of a unit, [rows, width] each; of more than one only inputs may be missing.
    using Weights = std::span<const MatrixView<float>>;

    /// The penalty with which a correction fitted to the first halves of the batches helps most on
    /// the second halves; none if no correction helps there. With one token the largest.
    /// `readers`: weights that read the outputs, so that an error e counts as |readers e|^2. [any,
    /// rows of each of `weights`]; empty: as |e|^2.
    [[nodiscard]] std::optional<double> choose_penalty(Weights weights,
                                                       MatrixView<const float> readers = {}) const;

    /// Turns each W into V.
    void correct(Weights weights, double penalty) const;

    /// As shared_sums.hpp has it.
    [[nodiscard]] std::vector<double> shape() const;
    [[nodiscard]] std::vector<SumArray> arrays(std::span<const double> shape);

private:
    /// Sums over one half of each batch.
    struct Sums {
        double tokens = 0.0;
        kernels::Array<float> gram;  ///< x' x'^T, packed (UpperTriangle)
        std::vector<double> input;   ///< m x'^T, or empty
        std::vector<double> output;  ///< n x'^T, or empty
    };
    struct Means {
        std::vector<float> gram;  ///< both triangles
        std::vector<float> input;
        std::vector<float> output;
    };
    void begin(std::size_t width);
    void accumulate(MatrixView<const float> missing, std::vector<double> Sums::*part);
    [[nodiscard]] std::vector<float> mean_gram(std::span<const Sums> sums, double tokens) const;
    [[nodiscard]] Means means_of(std::span<const Sums> sums) const;
    /// W E[m x'^T] + E[n x'^T], in backend memory. [rows, width]
    [[nodiscard]] kernels::Array<float> missing(MatrixView<const float> weight,
                                                const Means& means) const;
    /// The same, and what `readers` make of it if there are any: [rows of those, width].
    [[nodiscard]] kernels::Array<float> missing_as_seen(MatrixView<const float> weight,
                                                        const Means& means,
                                                        MatrixView<const float> readers) const;

    const kernels::Backend& backend_;
    std::size_t width_ = 0;
    std::array<Sums, 2> sums_;       ///< of first, of second halves
    kernels::Array<double> latest_;  ///< x' of the last add(), each row times its token's weight
    std::size_t n_latest_ = 0;       ///< its tokens
};

/// expected - found, both [rows, cols], on the host: what a shift is told is missing.
[[nodiscard]] std::vector<float> missing_values(std::vector<float> expected,
                                                MatrixView<const float> found,
                                                const kernels::Backend& backend);

}  // namespace lathe
