#pragma once

#include <type_traits>
#include <vector>

#include "kernels/contract/backend.hpp"

namespace lathe {

/// A matrix of a backend where host code can read and write it.
template <class T>
class HostCopy {
public:
    using Element = std::remove_const_t<T>;

    HostCopy(MatrixView<T> matrix, const kernels::Backend& backend)
        : rows_(matrix.rows), cols_(matrix.cols), values_(backend.to_host(matrix)) {}

    [[nodiscard]] MatrixView<const Element> view() const { return {values_.data(), rows_, cols_}; }
    [[nodiscard]] MatrixView<Element> view() { return {values_.data(), rows_, cols_}; }
    [[nodiscard]] std::vector<Element>& values() { return values_; }

private:
    std::size_t rows_;
    std::size_t cols_;
    std::vector<Element> values_;
};

}  // namespace lathe
