#pragma once

#include <string>
#include <vector>

#include "lib/model/stream.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// The model that slicing makes of another: what its directory says of it.
struct SlicedModel {
    std::string config;   ///< config.json
    std::string slicing;  ///< slicing.json; empty: a stock model, which needs none
    ModelSpec spec;

    [[nodiscard]] bool is_stock() const { return slicing.empty(); }
};

/// Whether the sliced model keeps one table for embedding and head.
[[nodiscard]] bool shares_table(const ModelSpec& source, const SliceConfig& slice);

/// The sliced model of these widths. With one global rotation an RMSNorm model stays a stock one:
/// of hidden size d < D, norms with weights 1 and epsilon * D / d, sqrt(D / d) in the layers that
/// read them, unless embedding and head share a table.
/// @throws DataError  also where a table is to be shared that cannot be
[[nodiscard]] SlicedModel describe_sliced(const SourceModel& source, const SliceConfig& slice,
                                          const std::vector<std::size_t>& widths);

/// The same with the element types its tensors will have: the source's, shortcuts and projections
/// at least float16, since they pass the whole stream on. `directory` is the source's.
[[nodiscard]] ModelOutline sliced_outline(const SourceModel& source, const SliceConfig& slice,
                                          const std::vector<std::size_t>& widths);

/// Type of a sliced model's tensor: that of the source's tensor it comes from; of shortcuts and of
/// projections around a shared table float16 or, if the source has more, float32.
[[nodiscard]] DType sliced_dtype(const SourceModel& source, const TensorSpec& tensor);

}  // namespace lathe
