#include <algorithm>
#include <span>

#include "lib/checkpoint/artifact.hpp"
#include "lib/checkpoint/hdf5_dataset.hpp"
#include "lib/checkpoint/hdf5_handle.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"

namespace lathe {
namespace fs = std::filesystem;
using hdf5::check;
using hdf5::checked;
using hdf5::Dataset;
using hdf5::Handle;

namespace {

/// Links followed on the way to one object; more is a circle.
constexpr int max_links = 16;
std::vector<std::string> components(const std::string& path) {
    std::vector<std::string> parts;
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        if (end > begin) {
            parts.push_back(path.substr(begin, end - begin));
        }
        begin = end + 1;
    }
    return parts;
}

Handle open_file(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status)) {
        throw MissingInputError("no such file: " + path.string());
    }
    if (!fs::is_regular_file(status)) {
        throw DataError(path.string() + " is not a regular file, expected an HDF5 file");
    }
    return checked<DataError>(H5Fopen(path.c_str(), H5F_ACC_RDONLY, hdf5::file_access().get()),
                              H5Fclose, path.string() + " is no HDF5 file, or it is damaged");
}

void check_hash_of(std::span<const std::byte> bytes, const Attributes& attributes,
                   const std::string& where) {
    const std::string expected = text_attribute(attributes, "hash", where);
    const std::string found = to_hex(hash_bytes(bytes));
    if (found != expected) {
        throw DataError(where + " is damaged: its bytes have the hash " + found + ", expected " +
                        expected);
    }
}

herr_t collect_link(hid_t, const char* name, const H5L_info_t*, void* names) noexcept {
    static_cast<std::vector<std::string>*>(names)->emplace_back(name);
    return 0;
}

}  // namespace

struct ArtifactReader::State {
    fs::path path;
    /// This file, and those that links led to, by path.
    std::map<fs::path, Handle> files;

    [[nodiscard]] std::string where(const std::string& object) const {
        return path.string() + ": " + object;
    }

    hid_t file(const fs::path& which) {
        const auto found = files.find(which);
        if (found != files.end()) {
            return found->second.get();
        }
        return files.emplace(which, open_file(which)).first->second.get();
    }

    /// The object, or an invalid handle if a name on the way does not exist.
    ///
    /// External links are followed here, not by the library: it would also look in the working
    /// directory and where an environment variable says, and cannot tell which shard is missing.
    Handle find(const std::string& object) {
        std::vector<std::string> todo = components(object);
        std::reverse(todo.begin(), todo.end());
        fs::path place = path;
        int n_links = 0;
        Handle here = open(file(place), "/", object);
        while (!todo.empty()) {
            const std::string next = todo.back();
            todo.pop_back();
            if (H5Iget_type(here.get()) != H5I_GROUP ||
                check<DataError>(H5Lexists(here.get(), next.c_str(), H5P_DEFAULT),
                                 where(object) + " cannot be looked up") == 0) {
                return {};
            }
            H5L_info_t link{};
            check<DataError>(H5Lget_info(here.get(), next.c_str(), &link, H5P_DEFAULT),
                             where(object) + " cannot be looked up");
            if (link.type != H5L_TYPE_EXTERNAL) {
                here = open(here.get(), next, object);
                continue;
            }
            if (++n_links > max_links) {
                throw DataError(where(object) + ": links lead round in a circle");
            }
            const auto [target_file, target] = external_target(here.get(), next, link, object);
            place = place.parent_path() / target_file;
            here = open_linked(place, object);
            const std::vector<std::string> before = components(target);
            todo.insert(todo.end(), before.rbegin(), before.rend());
        }
        return here;
    }

    Handle get(const std::string& object) {
        Handle found = find(object);
        if (!found.valid()) {
            throw DataError(where(object) + " is not there");
        }
        return found;
    }

    Dataset dataset(const std::string& object) { return {get(object), where(object)}; }

private:
    [[nodiscard]] Handle open(hid_t parent, const std::string& name,
                              const std::string& object) const {
        return checked<DataError>(H5Oopen(parent, name.c_str(), H5P_DEFAULT), H5Oclose,
                                  where(object) + ": '" + name + "' cannot be opened");
    }

    Handle open_linked(const fs::path& target, const std::string& object) {
        try {
            return open(file(target), "/", object);
        } catch (const MissingInputError& error) {
            throw MissingInputError(std::string(error.what()) + ", which " + where(object) +
                                    " needs");
        }
    }

    /// File and object that an external link names.
    [[nodiscard]] std::pair<std::string, std::string> external_target(
        hid_t group, const std::string& name, const H5L_info_t& link,
        const std::string& object) const {
        const std::string what = where(object) + ": the link '" + name + "' cannot be read";
        std::vector<char> value(link.u.val_size);
        check<DataError>(H5Lget_val(group, name.c_str(), value.data(), value.size(), H5P_DEFAULT),
                         what);
        const char* target_file = nullptr;
        const char* target = nullptr;
        check<DataError>(
            H5Lunpack_elink_val(value.data(), value.size(), nullptr, &target_file, &target), what);
        return {target_file, target};
    }
};

ArtifactReader::ArtifactReader(const fs::path& path) {
    const hdf5::Session session;
    auto state = std::make_unique<State>();  // on failure it goes while the session lasts
    state->path = path;
    state->file(path);
    state_ = std::move(state);
}

ArtifactReader::~ArtifactReader() {
    if (state_ == nullptr) {
        return;
    }  // moved from
    const hdf5::Session session;
    state_.reset();
}

ArtifactReader::ArtifactReader(ArtifactReader&&) noexcept = default;

ArtifactReader& ArtifactReader::operator=(ArtifactReader&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
}

const fs::path& ArtifactReader::path() const {
    return state_->path;
}

bool ArtifactReader::has(const std::string& path) const {
    const hdf5::Session session;
    return state_->find(path).valid();
}

std::vector<std::string> ArtifactReader::children(const std::string& path) const {
    const hdf5::Session session;
    const Handle group = state_->get(path);
    if (H5Iget_type(group.get()) != H5I_GROUP) {
        throw DataError(state_->where(path) + " is not a group");
    }
    std::vector<std::string> names;
    hsize_t position = 0;
    check<DataError>(
        H5Literate(group.get(), H5_INDEX_NAME, H5_ITER_NATIVE, &position, collect_link, &names),
        state_->where(path) + ": cannot list the group");
    std::sort(names.begin(), names.end());
    return names;
}

bool ArtifactReader::is_dataset(const std::string& path) const {
    const hdf5::Session session;
    return H5Iget_type(state_->get(path).get()) == H5I_DATASET;
}

Attributes ArtifactReader::attributes(const std::string& path) const {
    const hdf5::Session session;
    return hdf5::read_attributes(state_->get(path).get(), state_->where(path));
}

DatasetInfo ArtifactReader::info(const std::string& path) const {
    const hdf5::Session session;
    const Dataset dataset = state_->dataset(path);
    Attributes attributes = dataset.attributes();
    const DType dtype = dataset.dtype(attributes);
    return {dtype, dataset.shape(), std::move(attributes)};
}

std::vector<std::byte> ArtifactReader::read(const std::string& path, bool check_hash) const {
    std::vector<std::byte> bytes;
    Attributes attributes;
    {
        const hdf5::Session session;
        const Dataset dataset = state_->dataset(path);
        attributes = dataset.attributes();
        (void)dataset.dtype(attributes);  // refuses elements that are not plain numbers
        bytes.resize(dataset.n_bytes());
        dataset.read(bytes.data());
    }
    if (check_hash) {
        check_hash_of(bytes, attributes, state_->where(path));
    }
    return bytes;
}

void ArtifactReader::read_into(const std::string& path, std::byte* data, std::size_t size_bytes,
                               bool check_hash) const {
    Attributes attributes;
    {
        const hdf5::Session session;
        const Dataset dataset = state_->dataset(path);
        if (dataset.n_bytes() != size_bytes) {
            throw DataError(state_->where(path) + " has " + std::to_string(dataset.n_bytes()) +
                            " bytes, expected " + std::to_string(size_bytes));
        }
        attributes = dataset.attributes();
        (void)dataset.dtype(attributes);
        dataset.read(data);
    }
    if (check_hash) {
        check_hash_of({data, size_bytes}, attributes, state_->where(path));
    }
}

std::vector<std::int64_t> ArtifactReader::read_integers(const std::string& path) const {
    const hdf5::Session session;
    return state_->dataset(path).read_integers();
}

std::vector<float> ArtifactReader::read_floats(const std::string& path) const {
    const hdf5::Session session;
    return state_->dataset(path).read_floats();
}

}  // namespace lathe
