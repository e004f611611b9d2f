#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <utility>

// The functions of 1.10, also with a newer library.
#define H5_USE_110_API
#include <hdf5.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/dtype.hpp"

/// The fence around HDF5: handles that close themselves, checks, and the library's error text.
/// Private to this folder.
namespace lathe::hdf5 {

/// Held during every use of the library, closing handles included. Debian's serial library is
/// thread-safe, others are not, and a lock costs nothing beside reading or writing a file. It also
/// keeps the library from printing its errors, which is a setting of each thread.
class Session {
public:
    Session();

private:
    std::lock_guard<std::mutex> lock_;
};

/// An owned identifier, closed by the function that fits its kind.
class Handle {
public:
    using Closer = herr_t (*)(hid_t);

    Handle() = default;
    Handle(hid_t id, Closer closer) : id_(id), closer_(closer) {}
    ~Handle() { close(); }
    Handle(Handle&& other) noexcept
        : id_(std::exchange(other.id_, H5I_INVALID_HID)), closer_(other.closer_) {}
    Handle& operator=(Handle&& other) noexcept {
        std::swap(id_, other.id_);
        std::swap(closer_, other.closer_);
        return *this;
    }

    [[nodiscard]] hid_t get() const { return id_; }
    [[nodiscard]] bool valid() const { return id_ >= 0; }
    /// False if the library reports an error, which for a file means that data were lost.
    bool close() { return id_ < 0 || closer_(std::exchange(id_, H5I_INVALID_HID)) >= 0; }

private:
    hid_t id_ = H5I_INVALID_HID;
    Closer closer_ = nullptr;
};

/// What the library says about its last failed call, innermost reason first; empty if nothing.
[[nodiscard]] std::string last_error();

/// `what`, with the library's reason behind it.
[[nodiscard]] std::string with_reason(const std::string& what);

/// The handle, if valid. @throws E  with `what` and the library's reason
template <class E>
Handle checked(hid_t id, Handle::Closer closer, const std::string& what) {
    if (id < 0) {
        throw E(with_reason(what));
    }
    return {id, closer};
}

/// The status of a call, if not negative. @throws E  with `what` and the library's reason
template <class E, class Status>
Status check(Status status, const std::string& what) {
    if (status < 0) {
        throw E(with_reason(what));
    }
    return status;
}

/// Access to files: format of HDF5 1.10 whatever library writes it, metadata not rounded up to
/// blocks, no file locks (files appear by rename, and parallel file systems refuse locks).
[[nodiscard]] Handle file_access();

/// How elements of `dtype` lie in our files; memory and file types are the same.
[[nodiscard]] Handle file_type(DType dtype);

/// The reverse for any file: the DType with the same bytes. @throws DataError  if there is none
[[nodiscard]] DType dtype_of(hid_t type, const std::string& where);

/// Sets attributes in alphabetical order; one that exists is replaced. @throws IoError
void write_attributes(hid_t object, const Attributes& attributes, const std::string& where);

/// Reads attributes that are one integer, real number, boolean or text of fixed length; others are
/// left out, and so are all of an object whose header has no checksum (version 1, what other
/// programs write unless told otherwise).
/// @throws DataError
[[nodiscard]] Attributes read_attributes(hid_t object, const std::string& where);

}  // namespace lathe::hdf5
