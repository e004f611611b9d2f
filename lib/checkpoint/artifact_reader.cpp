#include <algorithm>
#include <span>

#include "lib/checkpoint/artifact.hpp"
#include "lib/checkpoint/linked_files.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"

namespace lathe {
namespace fs = std::filesystem;
using hdf5::check;
using hdf5::Dataset;
using hdf5::Handle;

namespace {

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

struct ArtifactReader::State : hdf5::LinkedFiles {
    using LinkedFiles::LinkedFiles;
};

ArtifactReader::ArtifactReader(const fs::path& path) {
    const hdf5::Session session;
    state_ = std::make_unique<State>(path);
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
    return state_->path();
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
