#include <array>

#include "lib/checkpoint/artifact.hpp"
#include "lib/checkpoint/hdf5_handle.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"

namespace lathe {
namespace fs = std::filesystem;
using hdf5::check;
using hdf5::checked;
using hdf5::Handle;

namespace {

/// Links and attributes stay in the object's own header, however many: the indexes that the
/// library would make of more than 8 cost kilobytes. No times, so that equal content makes equal
/// bytes. A file's own properties are those of its root group.
Handle object_creation(hid_t property_class) {
    const char* what = "cannot set up HDF5 object creation";
    Handle list = checked<InternalError>(H5Pcreate(property_class), H5Pclose, what);
    check<InternalError>(H5Pset_obj_track_times(list.get(), false), what);
    check<InternalError>(H5Pset_attr_phase_change(list.get(), 65535, 0), what);
    if (property_class == H5P_DATASET_CREATE) {
        check<InternalError>(H5Pset_layout(list.get(), H5D_CONTIGUOUS), what);
        check<InternalError>(H5Pset_fill_time(list.get(), H5D_FILL_TIME_NEVER), what);
        // Otherwise a header begins with 256 bytes. Attributes may follow all the same.
        check<InternalError>(H5Pset_dset_no_attrs_hint(list.get(), true), what);
    } else {
        check<InternalError>(H5Pset_link_phase_change(list.get(), 65535, 0), what);
        // Room for the parts of a tensor: codes, scales, zeros.
        check<InternalError>(H5Pset_est_link_info(list.get(), 3, 8), what);
    }
    return list;
}

Handle dataspace(const Shape& shape, const std::string& what) {
    if (shape.empty()) {
        return checked<IoError>(H5Screate(H5S_SCALAR), H5Sclose, what);
    }
    if (shape.size() > H5S_MAX_RANK) {
        throw InternalError(what + ": " + std::to_string(shape.size()) + " extents, at most " +
                            std::to_string(H5S_MAX_RANK) + " are possible");
    }
    const std::vector<hsize_t> extents(shape.begin(), shape.end());
    return checked<IoError>(
        H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose,
        what);
}

}  // namespace

struct ArtifactWriter::State {
    AtomicFile target;
    std::string shown;  ///< the name the file will have, for messages
    Handle group_creation;
    Handle dataset_creation;
    Handle file;

    explicit State(const fs::path& path) : target(path), shown(path.string()) {}

    [[nodiscard]] std::string where(const std::string& path) const { return shown + ": " + path; }

    void check_path(const std::string& path) const {
        if (!file.valid()) {
            throw InternalError(shown + " is written to after commit()");
        }
        const bool whole = path == "/" || (path.starts_with('/') && !path.ends_with('/') &&
                                           path.find("//") == std::string::npos);
        if (!whole) {
            throw InternalError(where(path) + " is not an absolute path of a file");
        }
    }

    [[nodiscard]] bool exists(const std::string& path) const {
        return path == "/" || check<IoError>(H5Lexists(file.get(), path.c_str(), H5P_DEFAULT),
                                             where(path) + ": cannot be looked up") > 0;
    }

    /// One parent after the other: those the library makes by itself would carry the time.
    void make_group(const std::string& path) const {
        if (path.empty()) {
            return;
        }
        make_parents(path);
        if (exists(path)) {
            return;
        }
        checked<IoError>(
            H5Gcreate2(file.get(), path.c_str(), H5P_DEFAULT, group_creation.get(), H5P_DEFAULT),
            H5Gclose, where(path) + ": cannot create the group");
    }
    void make_parents(const std::string& path) const {
        make_group(path.substr(0, path.rfind('/')));
    }
};

ArtifactWriter::ArtifactWriter(const fs::path& path) {
    const hdf5::Session session;
    auto state = std::make_unique<State>(path);  // on failure it goes while the session lasts
    state->group_creation = object_creation(H5P_GROUP_CREATE);
    state->dataset_creation = object_creation(H5P_DATASET_CREATE);
    const Handle file_creation = object_creation(H5P_FILE_CREATE);
    state->file = checked<IoError>(H5Fcreate(state->target.temporary().c_str(), H5F_ACC_TRUNC,
                                             file_creation.get(), hdf5::file_access().get()),
                                   H5Fclose, "cannot create " + path.string());
    state_ = std::move(state);
}

ArtifactWriter::~ArtifactWriter() {
    const hdf5::Session session;
    state_.reset();
}

void ArtifactWriter::group(const std::string& path, const Attributes& attributes) {
    const hdf5::Session session;
    state_->check_path(path);
    const std::string where = state_->where(path);
    if (path != "/") {
        state_->make_group(path);
    }
    const Handle group = checked<IoError>(H5Gopen2(state_->file.get(), path.c_str(), H5P_DEFAULT),
                                          H5Gclose, where + ": cannot open the group");
    hdf5::write_attributes(group.get(), attributes, where);
}

void ArtifactWriter::dataset(const std::string& path, DType dtype, const Shape& shape,
                             const std::byte* data, const Attributes& attributes) {
    const std::size_t n_bytes = element_count(shape) * size_bytes(dtype);
    Attributes all = attributes;
    all["dtype"] = std::string(name(dtype));
    all["hash"] = to_hex(hash_bytes({data, n_bytes}));

    const hdf5::Session session;
    state_->check_path(path);
    state_->make_parents(path);
    const std::string where = state_->where(path);
    if (state_->exists(path)) {
        throw InternalError(where + " is written twice");
    }
    const Handle space = dataspace(shape, where + ": cannot describe the shape");
    const Handle type = hdf5::file_type(dtype);
    const Handle set =
        checked<IoError>(H5Dcreate2(state_->file.get(), path.c_str(), type.get(), space.get(),
                                    H5P_DEFAULT, state_->dataset_creation.get(), H5P_DEFAULT),
                         H5Dclose, where + ": cannot create the dataset");
    // Before the data, while the header can still grow where it lies.
    hdf5::write_attributes(set.get(), all, where);
    if (n_bytes > 0) {
        check<IoError>(H5Dwrite(set.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data),
                       where + ": cannot write the dataset");
    }
}

void ArtifactWriter::external_link(const std::string& path, const std::string& file) {
    if (fs::path(file).is_absolute()) {
        throw InternalError("the link " + path + " must be relative, but it names " + file);
    }
    const hdf5::Session session;
    state_->check_path(path);
    state_->make_parents(path);
    check<IoError>(H5Lcreate_external(file.c_str(), "/", state_->file.get(), path.c_str(),
                                      H5P_DEFAULT, H5P_DEFAULT),
                   state_->where(path) + ": cannot link to " + file);
}

void ArtifactWriter::commit() {
    const hdf5::Session session;
    state_->check_path("/");
    if (!state_->file.close()) {
        throw IoError(hdf5::with_reason("cannot write " + state_->shown));
    }
    state_->target.commit();
}

}  // namespace lathe
