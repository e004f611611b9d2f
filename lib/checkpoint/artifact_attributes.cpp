#include <algorithm>
#include <vector>

#include "lib/checkpoint/artifact.hpp"
#include "lib/checkpoint/hdf5_handle.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"

namespace lathe {
namespace hdf5 {
namespace {

/// No attribute of ours comes near; a larger one in a file is damage, or not for us.
constexpr std::size_t max_text_bytes = std::size_t{1} << 28;

// ---- writing ---------------------------------------------------------------------------------

/// Fixed length, padded with zeros: text of variable length would cost a heap of 4 KiB a file.
Handle text_type(std::size_t size, const std::string& what) {
    Handle type = checked<IoError>(H5Tcopy(H5T_C_S1), H5Tclose, what);
    check<IoError>(H5Tset_size(type.get(), std::max<std::size_t>(size, 1)), what);
    check<IoError>(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), what);
    check<IoError>(H5Tset_cset(type.get(), H5T_CSET_UTF8), what);
    return type;
}

void write_attribute(hid_t object, const std::string& key, hid_t type, const void* value,
                     const std::string& what) {
    if (check<IoError>(H5Aexists(object, key.c_str()), what) > 0) {
        check<IoError>(H5Adelete(object, key.c_str()), what);
    }
    const Handle space = checked<IoError>(H5Screate(H5S_SCALAR), H5Sclose, what);
    const Handle attribute = checked<IoError>(
        H5Acreate2(object, key.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
        what);
    check<IoError>(H5Awrite(attribute.get(), type, value), what);
}

struct AttributeWriter {
    hid_t object;
    const std::string& key;
    const std::string& what;

    void operator()(std::int64_t value) const {
        write_attribute(object, key, H5T_STD_I64LE, &value, what);
    }
    void operator()(double value) const {
        write_attribute(object, key, H5T_IEEE_F64LE, &value, what);
    }
    void operator()(const std::string& value) const {
        if (value.find('\0') != std::string::npos) {
            throw InternalError(what + ": the text holds a zero byte");
        }
        // c_str(): even an empty text has the one byte that is written.
        write_attribute(object, key, text_type(value.size(), what).get(), value.c_str(), what);
    }
};

// ---- reading ---------------------------------------------------------------------------------

std::string read_fixed_text(hid_t attribute, hid_t type, const std::string& where) {
    const std::size_t size = H5Tget_size(type);
    if (size > max_text_bytes) {
        throw DataError(where + " has " + std::to_string(size) + " bytes of text");
    }
    std::string text(size, '\0');
    check<DataError>(H5Aread(attribute, type, text.data()), where + " cannot be read");
    if (H5Tget_strpad(type) == H5T_STR_SPACEPAD) {
        return text.substr(0, text.find_last_not_of(' ') + 1);
    }
    return text.substr(0, text.find('\0'));
}

/// False if it is none of the three kinds of value.
bool read_value(hid_t attribute, AttributeValue& value, const std::string& where) {
    const Handle space = checked<DataError>(H5Aget_space(attribute), H5Sclose, where);
    const Handle type = checked<DataError>(H5Aget_type(attribute), H5Tclose, where);
    if (H5Sget_simple_extent_npoints(space.get()) != 1) {
        return false;
    }
    const std::string what = where + " cannot be read";
    switch (H5Tget_class(type.get())) {
        case H5T_INTEGER:
        case H5T_ENUM: {
            std::int64_t number = 0;
            check<DataError>(H5Aread(attribute, H5T_NATIVE_INT64, &number), what);
            value = number;
            return true;
        }
        case H5T_FLOAT: {
            double number = 0;
            check<DataError>(H5Aread(attribute, H5T_NATIVE_DOUBLE, &number), what);
            value = number;
            return true;
        }
        case H5T_STRING:
            // Its bytes lie in a heap of the file, and HDF5 1.10 goes round in a damaged one
            // without end. Files of ours have none.
            if (H5Tis_variable_str(type.get()) != 0) {
                return false;
            }
            value = read_fixed_text(attribute, type.get(), where);
            return true;
        default:
            return false;
    }
}

/// Whether HDF5 checks the object's header by its sum before it takes anything from it: those of
/// version 2, which all of ours are.
bool has_checksum(hid_t object, const std::string& where) {
    H5O_info_t info{};
    check<DataError>(H5Oget_info2(object, &info, H5O_INFO_HDR),
                     where + ": cannot read the object header");
    return info.hdr.version >= 2;
}

herr_t collect_name(hid_t, const char* name, const H5A_info_t*, void* names) noexcept {
    static_cast<std::vector<std::string>*>(names)->emplace_back(name);
    return 0;
}

}  // namespace

void write_attributes(hid_t object, const Attributes& attributes, const std::string& where) {
    for (const auto& [key, value] : attributes) {
        const std::string what = where + ": cannot write attribute '" + key + "'";
        std::visit(AttributeWriter{object, key, what}, value);
    }
}

Attributes read_attributes(hid_t object, const std::string& where) {
    // HDF5 1.10 reads beyond its memory for a damaged attribute in a header without a sum.
    if (!has_checksum(object, where)) {
        return {};
    }
    std::vector<std::string> names;
    check<DataError>(
        H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, collect_name, &names),
        where + ": cannot list the attributes");
    Attributes attributes;
    for (const std::string& name : names) {
        const std::string place = where + ": attribute '" + name + "'";
        const Handle attribute = checked<DataError>(H5Aopen(object, name.c_str(), H5P_DEFAULT),
                                                    H5Aclose, place + " cannot be opened");
        AttributeValue value;
        if (read_value(attribute.get(), value, place)) {
            attributes.emplace(name, value);
        }
    }
    return attributes;
}

}  // namespace hdf5

namespace {

template <class T>
const T& typed_attribute(const Attributes& attributes, const std::string& key, const char* kind,
                         const std::string& where) {
    const auto found = attributes.find(key);
    if (found == attributes.end()) {
        throw DataError(where + " has no attribute '" + key + "', expected " + kind);
    }
    const T* value = std::get_if<T>(&found->second);
    if (value == nullptr) {
        throw DataError(where + ": attribute '" + key + "' is not " + kind);
    }
    return *value;
}

}  // namespace

std::int64_t integer_attribute(const Attributes& attributes, const std::string& key,
                               const std::string& where) {
    return typed_attribute<std::int64_t>(attributes, key, "an integer", where);
}

double real_attribute(const Attributes& attributes, const std::string& key,
                      const std::string& where) {
    return typed_attribute<double>(attributes, key, "a real number", where);
}

std::string text_attribute(const Attributes& attributes, const std::string& key,
                           const std::string& where) {
    return typed_attribute<std::string>(attributes, key, "a text of fixed length", where);
}

bool has_fingerprint(const std::filesystem::path& artifact, const std::string& fingerprint) {
    std::error_code ignored;
    if (!std::filesystem::exists(artifact, ignored)) {
        return false;
    }
    try {
        const Attributes attributes = ArtifactReader(artifact).attributes("/");
        return text_attribute(attributes, "fingerprint", artifact.string()) == fingerprint;
    } catch (const DataError& error) {
        log_warning(std::string("artifact_damaged made_again=yes reason=\"") + error.what() + "\"");
        return false;
    }
}

}  // namespace lathe
