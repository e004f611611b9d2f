#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lib/job/candidate.hpp"

namespace lathe {

/// What a product y = x @ w^T with a weight [rows, cols] takes under a setting.
struct KernelTime {
    std::size_t rows = 0;
    std::size_t cols = 0;
    /// Stands for every setting of its method that has these values; it need not name the others.
    Setting setting;
    double microseconds = 0.0;  ///< > 0, finite
};

/// A table of kernel times, from measurements on whatever will run the model. As a file:
///
///     {"tokens": 1, "kernels": [
///        {"rows": 4096, "cols": 14336, "setting": "dense", "microseconds": 9120.5},
///        {"rows": 4096, "cols": 14336, "setting": "integer num_bits=4", "microseconds": 1210}]}
class KernelTimes {
public:
    explicit KernelTimes(std::size_t tokens = 1) : tokens_(tokens) {}

    /// @throws MissingInputError, DataError  naming the file and, as far as known, the entry
    static KernelTimes read(const std::filesystem::path& file);
    [[nodiscard]] std::string to_json() const;

    /// Rows of x.
    [[nodiscard]] std::size_t tokens() const { return tokens_; }
    void add(KernelTime time) { times_.push_back(std::move(time)); }

    /// The entry that fits and names the most values; the first of equal ones.
    [[nodiscard]] std::optional<double> find(std::size_t rows, std::size_t cols,
                                             const Setting& setting) const;
    /// @throws DataError  naming shape and setting, if there is none
    [[nodiscard]] double seconds(std::size_t rows, std::size_t cols, const Setting& setting) const;

private:
    std::size_t tokens_;
    std::vector<KernelTime> times_;
};

}  // namespace lathe
