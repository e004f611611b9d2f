#include "lib/checkpoint/hdf5_version.hpp"

#include "lib/checkpoint/hdf5_handle.hpp"
#include "lib/core/errors.hpp"

namespace lathe {

std::string hdf5_version() {
    const hdf5::Session session;
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    hdf5::check<InternalError>(H5get_libversion(&major, &minor, &release),
                               "cannot ask HDF5 for its version");
    return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

}  // namespace lathe
