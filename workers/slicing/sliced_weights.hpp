#pragma once

#include <map>
#include <vector>

#include "workers/slicing/slice_fit.hpp"
#include "workers/slicing/sliced_model.hpp"

namespace lathe {

/// The tensors of a sliced model, in fp64: those of the fused model, turned into the bases of the
/// stream's boundaries (stream_basis()) and cut; shortcuts from one basis to the next. Refitted as
/// far as it is told.
class SlicedWeights {
public:
    /// `widths` of the boundaries, with which `target` was described. @pre  all outlive the object
    SlicedWeights(const JobContext& context, const SlicedModel& target,
                  const std::vector<std::size_t>& widths)
        : context_(context), target_(target), widths_(widths) {}

    /// What was fitted at a boundary and in the step behind it.
    void refit(std::size_t boundary, StepFit fit) {
        fits_.insert_or_assign(boundary, std::move(fit));
    }

    /// One of target.spec's, row-major in the order of its shape, not yet rounded to any type.
    [[nodiscard]] std::vector<double> values(const TensorSpec& tensor);

private:
    [[nodiscard]] std::vector<double> product(const std::vector<double>& a, std::size_t m,
                                              bool transpose_a, const std::vector<double>& b,
                                              bool transpose_b, std::size_t n, std::size_t k) const;
    const std::vector<double>& basis(std::size_t boundary);
    /// What the weight of a tensor that reads the stream at a boundary is multiplied by from the
    /// right, turned: the basis there, refitted if a norm stands between. [width, hidden_size]
    [[nodiscard]] std::vector<double> reading_basis(const TensorSpec& tensor, std::size_t boundary);
    void add_fit_of_writing(const TensorSpec& tensor, std::size_t boundary,
                            std::vector<double>& values) const;
    void scale_for_stock_norm(const TensorSpec& tensor, std::vector<double>& values) const;

    const JobContext& context_;
    const SlicedModel& target_;
    const std::vector<std::size_t>& widths_;
    std::map<std::size_t, std::vector<double>> bases_;
    std::map<std::size_t, StepFit> fits_;
};

}  // namespace lathe
