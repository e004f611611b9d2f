#pragma once

#include <cstddef>
#include <vector>

namespace lathe {

/// Takes over the rows in which `other` has the smaller error, and calls copy(first row, count) for
/// each run of such rows. A copy of many rows costs a device hardly more than that of one.
template <class Copy>
void take_better_rows(std::vector<double>& errors, const std::vector<double>& other,
                      const Copy& copy) {
    std::size_t begin = 0;  // of the run
    for (std::size_t r = 0; r <= errors.size(); ++r) {
        if (r < errors.size() && other[r] < errors[r]) {
            errors[r] = other[r];
            continue;
        }
        if (r > begin) {
            copy(begin, r - begin);
        }
        begin = r + 1;
    }
}

}  // namespace lathe
