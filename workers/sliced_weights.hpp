#pragma once

#include <map>
#include <vector>

#include "workers/sliced_model.hpp"

namespace lathe {

/// The tensors of a sliced model, in fp64: those of the fused model, turned into the bases of the
/// stream's boundaries (stream_basis()) and cut; shortcuts from one basis to the next.
class SlicedWeights {
public:
    /// `widths` of the boundaries, with which `target` was described. @pre  all outlive the object
    SlicedWeights(const JobContext& context, const SlicedModel& target,
                  const std::vector<std::size_t>& widths)
        : context_(context), target_(target), widths_(widths) {}

    /// One of target.spec's, row-major in the order of its shape, not yet rounded to any type.
    [[nodiscard]] std::vector<double> values(const TensorSpec& tensor);

private:
    [[nodiscard]] std::vector<double> product(const std::vector<double>& a, std::size_t m,
                                              bool transpose_a, const std::vector<double>& b,
                                              bool transpose_b, std::size_t n, std::size_t k) const;
    const std::vector<double>& basis(std::size_t boundary);
    void scale_for_stock_norm(const TensorSpec& tensor, std::vector<double>& values) const;

    const JobContext& context_;
    const SlicedModel& target_;
    const std::vector<std::size_t>& widths_;
    std::map<std::size_t, std::vector<double>> bases_;
};

}  // namespace lathe
