#include "lib/checkpoint/hdf5_dataset.hpp"

#include <array>
#include <cmath>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"

namespace lathe::hdf5 {
namespace {

/// No filter of HDF5 packs better than deflate, about 1000 to 1: a dataset said to be larger is
/// damage, and memory for it must not be asked for.
constexpr std::uint64_t max_expansion = 1100;

[[noreturn]] void refuse_value(const std::string& where, const std::string& value) {
    throw DataError(where + " holds " + value + ", expected integers of at most 64 bits");
}

}  // namespace

Dataset::Dataset(Handle object, std::string where)
    : object_(std::move(object)), where_(std::move(where)) {
    if (H5Iget_type(object_.get()) != H5I_DATASET) {
        throw DataError(where_ + " is a group, expected a dataset");
    }
    const std::string what = where_ + ": cannot read its type and shape";
    type_ = checked<DataError>(H5Dget_type(object_.get()), H5Tclose, what);
    const Handle space = checked<DataError>(H5Dget_space(object_.get()), H5Sclose, what);
    if (H5Sget_simple_extent_type(space.get()) == H5S_NULL) {
        throw DataError(where_ + " is a null dataset, without a shape");
    }
    const int rank = check<DataError>(H5Sget_simple_extent_ndims(space.get()), what);
    std::vector<hsize_t> extents(static_cast<std::size_t>(rank));
    check<DataError>(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr), what);
    shape_.assign(extents.begin(), extents.end());
    check_storage();
    check_extent();
}

/// Whoever made the file must not choose which other files are read.
void Dataset::check_storage() const {
    const std::string what = where_ + ": cannot read its layout";
    const Handle creation = checked<DataError>(H5Dget_create_plist(object_.get()), H5Pclose, what);
    const int n_files = check<DataError>(H5Pget_external_count(creation.get()), what);
    if (n_files > 0) {
        std::array<char, 256> name{};
        check<DataError>(
            H5Pget_external(creation.get(), 0, name.size() - 1, name.data(), nullptr, nullptr),
            what);
        throw DataError(where_ + " has its bytes in another file, '" + name.data() +
                        "'; they are not read");
    }
    if (H5Pget_layout(creation.get()) == H5D_VIRTUAL) {
        throw DataError(where_ +
                        " is a virtual dataset, made of those of other files; they are not "
                        "read");
    }
}

/// The file must be able to hold what the dataset claims, so that a damaged extent neither
/// overflows nor asks for terabytes.
void Dataset::check_extent() const {
    const std::string what = where_ + ": cannot read its layout";
    const Handle file = checked<DataError>(H5Iget_file_id(object_.get()), H5Fclose, what);
    const Handle creation = checked<DataError>(H5Dget_create_plist(object_.get()), H5Pclose, what);
    hsize_t file_bytes = 0;
    check<DataError>(H5Fget_filesize(file.get(), &file_bytes), what);
    const bool packed = H5Pget_layout(creation.get()) == H5D_CHUNKED;
    const std::uint64_t most = packed ? file_bytes * max_expansion : file_bytes;
    // 8 bytes an element at least, because readers may convert to that.
    std::uint64_t claimed = H5Tget_size(type_.get());
    bool overflow = __builtin_mul_overflow(claimed, std::uint64_t{8}, &claimed);
    for (const std::size_t extent : shape_) {
        overflow = overflow || __builtin_mul_overflow(claimed, std::uint64_t{extent}, &claimed);
    }
    if (overflow || claimed / 8 > most) {
        throw DataError(where_ + " has shape " + to_string(shape_) + ", more than its file of " +
                        std::to_string(file_bytes) + " bytes can hold");
    }
}

std::size_t Dataset::n_bytes() const {
    return element_count(shape_) * H5Tget_size(type_.get());
}

DType Dataset::dtype(const Attributes& attributes) const {
    if (!attributes.contains("dtype")) {
        return dtype_of(type_.get(), where_);
    }
    const DType dtype = dtype_from_name(text_attribute(attributes, "dtype", where_));
    if (H5Tequal(type_.get(), file_type(dtype).get()) <= 0) {
        throw DataError(where_ + ": attribute 'dtype' says " + std::string(name(dtype)) +
                        ", but the elements are stored as another type");
    }
    return dtype;
}

void Dataset::read_as(hid_t memory_type, void* data) const {
    if (n_bytes() == 0) {
        return;
    }
    check<DataError>(H5Dread(object_.get(), memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data),
                     where_ + " cannot be read");
}

void Dataset::read(std::byte* data) const {
    read_as(type_.get(), data);
}

template <class T>
std::vector<T> Dataset::read_all(hid_t memory_type) const {
    std::vector<T> values(element_count(shape_));
    read_as(memory_type, values.data());
    return values;
}

std::vector<std::int64_t> Dataset::read_integers() const {
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    const H5T_class_t kind = H5Tget_class(type_.get());
    if (kind == H5T_FLOAT) {
        const std::vector<double> reals = read_all<double>(H5T_NATIVE_DOUBLE);
        std::vector<std::int64_t> values;
        values.reserve(reals.size());
        for (const double real : reals) {
            if (std::abs(real) >= 0x1p63 || std::trunc(real) != real) {
                refuse_value(where_, std::to_string(real));
            }
            values.push_back(static_cast<std::int64_t>(real));
        }
        return values;
    }
    if (kind != H5T_INTEGER && kind != H5T_ENUM) {
        refuse_value(where_, "no numbers");
    }
    if (kind == H5T_INTEGER && H5Tget_sign(type_.get()) == H5T_SGN_NONE) {
        for (const std::uint64_t value : read_all<std::uint64_t>(H5T_NATIVE_UINT64)) {
            // The library would cut it to the largest signed number without a word.
            if (value > most) {
                refuse_value(where_, std::to_string(value));
            }
        }
    }
    return read_all<std::int64_t>(H5T_NATIVE_INT64);
}

std::vector<float> Dataset::read_floats() const {
    const H5T_class_t kind = H5Tget_class(type_.get());
    if (kind != H5T_FLOAT && kind != H5T_INTEGER && kind != H5T_ENUM) {
        throw DataError(where_ + " holds no numbers");
    }
    const Attributes attributes = this->attributes();
    // bfloat16 is an integer to the library.
    if (attributes.contains("dtype") && dtype(attributes) == DType::bf16) {
        const std::vector<std::uint16_t> bits = read_all<std::uint16_t>(type_.get());
        std::vector<float> values(bits.size());
        to_float(reinterpret_cast<const std::byte*>(bits.data()), DType::bf16, values);
        return values;
    }
    return read_all<float>(H5T_NATIVE_FLOAT);
}

}  // namespace lathe::hdf5
