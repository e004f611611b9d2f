#include <algorithm>
#include <array>
#include <vector>

#include "kernels/layouts/binary_codes.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {
namespace {

/// One group of one row in a descent: everything about its terms.
class GroupDescent {
public:
    /// keep: of the row, or null
    GroupDescent(MatrixView<const float> gram, std::size_t begin, std::size_t size,
                 const BinaryCodeSettings& settings, const std::uint8_t* keep)
        : gram_(gram), begin_(begin), size_(size), settings_(settings), keep_(keep) {}

    /// Terms that minimise the error given the codes, rounded to fp16, if they are better than
    /// `terms` (scales, then the offset); else those.
    [[nodiscard]] std::array<float, most_unknowns> best_terms(
        const std::array<float, most_unknowns>& terms, const std::uint8_t* codes,
        const std::vector<double>& gradient) const {
        NormalEquations equations(settings_);
        for (std::size_t i = 0; i < equations.n; ++i) {
            for (std::size_t j = 0; j < size_; ++j) {
                const double sign = coefficient(codes, j, i);
                equations.right[i] -= sign * gradient[begin_ + j];
                for (std::size_t k = 0; k < size_; ++k) {
                    const double a = double{gram_(begin_ + j, begin_ + k)} * sign;
                    for (std::size_t l = 0; l < equations.n; ++l) {
                        equations.matrix[i][l] += a * coefficient(codes, k, l);
                    }
                }
            }
        }
        const auto step = equations.solve();
        std::array<float, most_unknowns> found{};
        std::array<double, most_unknowns> change{};
        for (std::size_t i = 0; i < equations.n; ++i) {
            found[i] = storable_term(double{terms[i]} + step[i]);
            change[i] = double{found[i]} - double{terms[i]};
        }
        double gain = 0.0;
        for (std::size_t i = 0; i < equations.n; ++i) {
            gain += 2.0 * change[i] * equations.right[i];
            for (std::size_t k = 0; k < equations.n; ++k) {
                gain -= change[i] * equations.matrix[i][k] * change[k];
            }
        }
        return gain > 0.0 ? found : terms;
    }

private:
    /// What unknown i multiplies in element j of the group.
    [[nodiscard]] double coefficient(const std::uint8_t* codes, std::size_t j,
                                     std::size_t i) const {
        const bool counts = keep_ == nullptr || keep_[begin_ + j] != 0;
        return counts ? sign_of(codes[j], i, settings_.num_bits) : 0.0;
    }

    MatrixView<const float> gram_;
    std::size_t begin_;
    std::size_t size_;
    const BinaryCodeSettings& settings_;
    const std::uint8_t* keep_;
};

/// A row on its way down, with its gradient (v - w) A.
class RowDescent {
public:
    RowDescent(const float* w, MatrixView<const float> gram, float* v)
        : gram_(gram), v_(v), gradient_(gram.cols, 0.0) {
        for (std::size_t j = 0; j < gram.cols; ++j) {
            for (std::size_t k = 0; k < gram.cols; ++k) {
                gradient_[j] += (double{v[k]} - double{w[k]}) * double{gram(k, j)};
            }
        }
    }
    void set(std::size_t j, float value) {
        const double change = double{value} - double{v_[j]};
        v_[j] = value;
        for (std::size_t k = 0; k < gram_.cols; ++k) {
            gradient_[k] += change * double{gram_(j, k)};
        }
    }
    [[nodiscard]] float best_value(std::size_t j) const {
        return static_cast<float>(double{v_[j]} - gradient_[j] / double{gram_(j, j)});
    }
    [[nodiscard]] const std::vector<double>& gradient() const { return gradient_; }

private:
    MatrixView<const float> gram_;
    float* v_;
    std::vector<double> gradient_;
};

/// One row on its way down: its codes, the terms of its groups, its values and their gradient.
class CodedRow {
public:
    CodedRow(std::size_t r, MatrixView<const float> w, MatrixView<const float> gram,
             const BinaryCodeSettings& settings, MatrixView<const std::uint8_t> keep,
             const BinaryCodes& codes, MatrixView<float> values)
        : settings_(settings),
          gram_(gram),
          keep_(keep.rows == 0 ? nullptr : keep.row(r)),
          codes_(codes.codes.row(r)),
          scales_(codes.scales.row(r)),
          offsets_(codes.offsets.row(r)),
          values_(with_values(values.row(r))),
          descent_(w.row(r), gram, values_) {}

    /// Whether anything changed in the group.
    bool descend(std::size_t group) {
        const std::size_t begin = group * settings_.group_size;
        const std::size_t end = std::min(begin + settings_.group_size, gram_.cols);
        const bool chosen = choose_codes(group, begin, end);
        const bool refits = settings_.group_size <= widest_refitted_binary_group;
        return (refits && fit_terms(group, begin, end)) || chosen;
    }

private:
    [[nodiscard]] bool is_kept(std::size_t j) const { return keep_ == nullptr || keep_[j] != 0; }
    [[nodiscard]] Levels levels_of(std::size_t group) const {
        const unsigned q = settings_.num_bits;
        return {scales_ + group * q, offsets_[group], q};
    }
    [[nodiscard]] static float value_of(const Levels& levels, std::uint8_t code) {
        const auto place = std::find(levels.code.begin(), levels.code.end(), code);
        return levels.value[static_cast<std::size_t>(place - levels.code.begin())];
    }
    /// The values that the codes stand for, written to `values`, which is returned.
    [[nodiscard]] float* with_values(float* values) const {
        for (std::size_t j = 0; j < gram_.cols; ++j) {
            values[j] =
                is_kept(j) ? value_of(levels_of(j / settings_.group_size), codes_[j]) : 0.0F;
        }
        return values;
    }
    bool choose_codes(std::size_t group, std::size_t begin, std::size_t end) {
        bool changed = false;
        const Levels levels = levels_of(group);
        for (std::size_t j = begin; j < end; ++j) {
            if (gram_(j, j) == 0.0F || !is_kept(j)) {
                continue;
            }
            const std::size_t place = levels.nearest(descent_.best_value(j));
            if (levels.value[place] != values_[j]) {
                changed = true;
                codes_[j] = levels.code[place];
                descent_.set(j, levels.value[place]);
            }
        }
        return changed;
    }
    bool fit_terms(std::size_t group, std::size_t begin, std::size_t end) {
        const unsigned q = settings_.num_bits;
        std::array<float, most_unknowns> terms{};
        std::copy_n(scales_ + group * q, q, terms.begin());
        terms[q] = offsets_[group];
        const GroupDescent fit(gram_, begin, end - begin, settings_, keep_);
        const auto found = fit.best_terms(terms, codes_ + begin, descent_.gradient());
        if (found == terms) {
            return false;
        }
        std::copy_n(found.begin(), q, scales_ + group * q);
        offsets_[group] = settings_.offset ? found[q] : 0.0F;
        const Levels fitted = levels_of(group);
        for (std::size_t j = begin; j < end; ++j) {
            if (is_kept(j)) {
                descent_.set(j, value_of(fitted, codes_[j]));
            }
        }
        return true;
    }

    const BinaryCodeSettings& settings_;
    MatrixView<const float> gram_;
    const std::uint8_t* keep_;  ///< null: all are kept
    std::uint8_t* codes_;
    float* scales_;
    float* offsets_;
    float* values_;
    RowDescent descent_;
};

}  // namespace

void ReferenceBackend::do_descend_on_binary_codes(
    MatrixView<const float> w, MatrixView<const float> gram, const BinaryCodeSettings& settings,
    std::size_t n_passes, MatrixView<const std::uint8_t> keep, const BinaryCodes& codes,
    MatrixView<float> values) const {
    for (std::size_t r = 0; r < w.rows; ++r) {
        CodedRow row(r, w, gram, settings, keep, codes, values);
        bool changed = true;
        for (std::size_t pass = 0; pass < n_passes && changed; ++pass) {
            changed = false;
            for (std::size_t group = 0; group < codes.offsets.cols; ++group) {
                changed = row.descend(group) || changed;
            }
        }
    }
}

}  // namespace lathe::kernels
