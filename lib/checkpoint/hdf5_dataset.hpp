#pragma once

#include <span>
#include <string>
#include <vector>

#include "lib/checkpoint/artifact.hpp"
#include "lib/checkpoint/hdf5_handle.hpp"

namespace lathe::hdf5 {

/// A dataset opened for reading. Everything in it is checked before memory is asked for. Used under
/// a Session, its destruction included; every function throws DataError, beginning with `where`.
class Dataset {
public:
    Dataset(Handle object, std::string where);

    [[nodiscard]] const Shape& shape() const { return shape_; }
    /// Bytes of all elements, as stored.
    [[nodiscard]] std::size_t n_bytes() const;
    [[nodiscard]] Attributes attributes() const { return read_attributes(object_.get(), where_); }
    /// What the attribute "dtype" says, if the elements are stored so; without it, their own type.
    [[nodiscard]] DType dtype(const Attributes& attributes) const;

    /// Unconverted, n_bytes() of them.
    void read(std::byte* data) const;
    /// Converted from integers of any kind, booleans, or real numbers that are whole.
    [[nodiscard]] std::vector<std::int64_t> read_integers() const;
    /// Converted from any real or integer type.
    [[nodiscard]] std::vector<float> read_floats() const;

private:
    void check_storage() const;
    void check_extent() const;
    void read_as(hid_t memory_type, void* data) const;
    template <class T>
    [[nodiscard]] std::vector<T> read_all(hid_t memory_type) const;

    Handle object_;
    std::string where_;
    Handle type_;
    Shape shape_;
};

}  // namespace lathe::hdf5
