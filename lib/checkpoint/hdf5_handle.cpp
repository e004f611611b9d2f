#include "lib/checkpoint/hdf5_handle.hpp"

#include "lib/core/errors.hpp"

namespace lathe::hdf5 {
namespace {

std::mutex& library_mutex() {
    static std::mutex mutex;
    return mutex;
}

herr_t keep_innermost(unsigned position, const H5E_error2_t* error, void* text) {
    auto& reason = *static_cast<std::string*>(text);
    if (position == 0 && error->desc != nullptr) {
        reason = error->desc;
    }
    return 0;
}

/// binary16 as HDF5 describes it: sign, exponent and mantissa of half precision.
Handle half_type() {
    const char* what = "cannot describe float16 to HDF5";
    Handle type = checked<InternalError>(H5Tcopy(H5T_IEEE_F32LE), H5Tclose, what);
    check<InternalError>(H5Tset_fields(type.get(), 15, 10, 5, 0, 10), what);
    check<InternalError>(H5Tset_size(type.get(), 2), what);
    check<InternalError>(H5Tset_ebias(type.get(), 15), what);
    return type;
}

hid_t predefined(DType dtype) {
    switch (dtype) {
        case DType::f64:
            return H5T_IEEE_F64LE;
        case DType::f32:
            return H5T_IEEE_F32LE;
        case DType::f16:
            break;
        case DType::bf16:
            return H5T_STD_U16LE;
        case DType::i64:
            return H5T_STD_I64LE;
        case DType::i32:
            return H5T_STD_I32LE;
        case DType::i16:
            return H5T_STD_I16LE;
        case DType::i8:
            return H5T_STD_I8LE;
        case DType::u64:
            return H5T_STD_U64LE;
        case DType::u32:
            return H5T_STD_U32LE;
        case DType::u16:
            return H5T_STD_U16LE;
        case DType::u8:
        case DType::boolean:
            return H5T_STD_U8LE;
    }
    throw InternalError("no HDF5 type for " + std::string(name(dtype)));
}

bool same_type(hid_t type, DType dtype) {
    return H5Tequal(type, file_type(dtype).get()) > 0;
}

/// Booleans of h5py: an enumeration over bytes.
bool is_byte_enumeration(hid_t type) {
    return H5Tget_class(type) == H5T_ENUM && H5Tget_size(type) == 1;
}

}  // namespace

Session::Session() : lock_(library_mutex()) {
    // A file whose close failed (full disk) stays half open inside the library, and its clean-up at
    // exit would crash on it. Nothing is left to clean up: every handle here closes itself.
    // Must come before any other call, and does: every use of the library begins with a Session.
    static const bool no_clean_up_at_exit = H5dont_atexit() >= 0;
    static_cast<void>(no_clean_up_at_exit);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

std::string last_error() {
    std::string reason;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &reason);
    return reason;
}

std::string with_reason(const std::string& what) {
    const std::string reason = last_error();
    return reason.empty() ? what : what + ": " + reason;
}

Handle file_access() {
    const char* what = "cannot set up HDF5 file access";
    Handle list = checked<InternalError>(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, what);
    check<InternalError>(H5Pset_libver_bounds(list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), what);
    check<InternalError>(H5Pset_meta_block_size(list.get(), 0), what);
    check<InternalError>(H5Pset_small_data_block_size(list.get(), 0), what);
    check<InternalError>(H5Pset_file_locking(list.get(), 0, 1), what);
    return list;
}

Handle file_type(DType dtype) {
    if (dtype == DType::f16) {
        return half_type();
    }
    return checked<InternalError>(H5Tcopy(predefined(dtype)), H5Tclose, "cannot copy an HDF5 type");
}

DType dtype_of(hid_t type, const std::string& where) {
    for (const DType dtype :
         {DType::f64, DType::f32, DType::f16, DType::i64, DType::i32, DType::i16, DType::i8,
          DType::u64, DType::u32, DType::u16, DType::u8}) {
        if (same_type(type, dtype)) {
            return dtype;
        }
    }
    if (is_byte_enumeration(type)) {
        return DType::boolean;
    }
    throw DataError(where + " has an element type that Lathe does not know, expected " +
                    "little-endian integers of 1, 2, 4 or 8 bytes or IEEE floating-point numbers");
}

}  // namespace lathe::hdf5
