#include <algorithm>
#include <span>

#include "lib/checkpoint/artifact.hpp"
#include "lib/checkpoint/hdf5_dataset.hpp"
#include "lib/checkpoint/hdf5_handle.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/inner_path.hpp"

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
        if (end > begin && path.compare(begin, end - begin, ".") != 0) {
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
    /// Links are followed here, not by the library. It would look for files also in the working
    /// directory and where an environment variable says, cannot tell which shard is missing, and
    /// would go wherever a file of somebody else's points to.
    Handle find(const std::string& object) {
        Walk walk{path, open(file(path), "/", object), {}};
        walk.add(object, false);
        while (!walk.todo.empty()) {
            const Step step = std::move(walk.todo.back());
            walk.todo.pop_back();
            const char* const name = step.name.c_str();
            if (H5Iget_type(walk.here.get()) != H5I_GROUP ||
                check<DataError>(H5Lexists(walk.here.get(), name, H5P_DEFAULT),
                                 where(object) + " cannot be looked up") == 0) {
                return {};
            }
            H5L_info_t link{};
            check<DataError>(H5Lget_info(walk.here.get(), name, &link, H5P_DEFAULT),
                             where(object) + " cannot be looked up");
            if (link.type == H5L_TYPE_HARD) {
                walk.here = open(walk.here.get(), step.name, object);
                continue;
            }
            if (++walk.n_links > max_links) {
                throw DataError(where(object) + ": links lead round in a circle");
            }
            if (link.type == H5L_TYPE_SOFT) {
                follow_soft(walk, step, link, object);
            } else if (link.type == H5L_TYPE_EXTERNAL) {
                follow_external(walk, step, link, object);
            } else {
                refuse_link(object, step, "is of a kind this program does not know");
            }
        }
        return std::move(walk.here);
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

    /// A name that is still to be looked up.
    struct Step {
        std::string name;
        bool from_soft_link;
    };

    /// How far the way to an object is gone.
    struct Walk {
        fs::path place;          // the file
        Handle here;             // the group in it
        std::vector<Step> todo;  // the next one last
        int n_links = 0;

        void add(const std::string& object, bool from_soft_link) {
            const std::vector<std::string> names = components(object);
            for (auto name = names.rbegin(); name != names.rend(); ++name) {
                todo.push_back({*name, from_soft_link});
            }
        }
    };

    [[noreturn]] void refuse_link(const std::string& object, const Step& link,
                                  const std::string& reason) const {
        throw DataError(where(object) + ": the link '" + link.name + "' " + reason +
                        "; it is not followed");
    }

    /// Within the file that was opened, and to no other.
    void follow_soft(Walk& walk, const Step& step, const H5L_info_t& link,
                     const std::string& object) {
        if (walk.place != path) {
            refuse_link(object, step, "is a soft link in another file, " + walk.place.string());
        }
        std::vector<char> value(link.u.val_size + 1);
        check<DataError>(
            H5Lget_val(walk.here.get(), step.name.c_str(), value.data(), value.size(), H5P_DEFAULT),
            where(object) + ": the link '" + step.name + "' cannot be read");
        walk.add(value.data(), true);
        if (value.front() == '/') {
            walk.here = open(file(walk.place), "/", object);
        }
    }

    /// To a file in the directory of this one, or below.
    void follow_external(Walk& walk, const Step& step, const H5L_info_t& link,
                         const std::string& object) {
        if (step.from_soft_link) {
            refuse_link(object, step, "leads to another file from behind a soft link");
        }
        const auto [target_file, target] =
            external_target(walk.here.get(), step.name, link, object);
        if (!is_inner_path(target_file)) {
            refuse_link(object, step,
                        "names the file '" + target_file +
                            "', expected one in the same directory or below");
        }
        walk.place = walk.place.parent_path() / target_file;
        walk.here = open_linked(walk.place, object);
        walk.add(target, false);
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

void ArtifactReader::check_hash_if_ours(const std::string& path) const {
    const Attributes attributes = this->attributes(path);
    if (attributes.contains("dtype") && attributes.contains("hash")) {
        (void)read(path);
    }
}

std::vector<std::int64_t> ArtifactReader::read_integers(const std::string& path) const {
    check_hash_if_ours(path);
    const hdf5::Session session;
    return state_->dataset(path).read_integers();
}

std::vector<float> ArtifactReader::read_floats(const std::string& path) const {
    check_hash_if_ours(path);
    const hdf5::Session session;
    return state_->dataset(path).read_floats();
}

}  // namespace lathe
