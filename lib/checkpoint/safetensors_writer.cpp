#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>
#include <utility>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/checkpoint/safetensors_header.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr std::size_t buffer_bytes = 1 << 20;

/// A file being written whose every failure, also that of closing, is an IoError with the reason.
class OutputFile {
public:
    OutputFile(const fs::path& path, fs::path shown)
        : shown_(std::move(shown)), file_(std::fopen(path.c_str(), "wbe")) {
        if (file_ == nullptr) {
            fail("create");
        }
        std::setvbuf(file_, nullptr, _IOFBF, buffer_bytes);
    }
    ~OutputFile() {
        if (file_ != nullptr) {
            std::fclose(file_);
        }
    }
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    void write(const void* data, std::size_t size) {
        if (size > 0 && std::fwrite(data, 1, size, file_) != size) {
            fail("write");
        }
    }
    void close() {
        if (std::fclose(std::exchange(file_, nullptr)) != 0) {
            fail("write");
        }
    }

private:
    [[noreturn]] void fail(const char* what) const {
        throw IoError(std::string("cannot ") + what + " " + shown_.string() + ": " +
                      std::strerror(errno));
    }

    fs::path shown_;
    std::FILE* file_;
};

/// Widest elements first, otherwise as given: each tensor then lies at a multiple of its element
/// size, which readers that map the file rely on, and gaps are not allowed.
std::vector<TensorToWrite> in_data_order(std::span<const TensorToWrite> tensors) {
    std::vector<TensorToWrite> ordered(tensors.begin(), tensors.end());
    std::stable_sort(ordered.begin(), ordered.end(),
                     [](const TensorToWrite& a, const TensorToWrite& b) {
                         return size_bytes(a.dtype) > size_bytes(b.dtype);
                     });
    return ordered;
}

std::size_t expected_bytes(const TensorToWrite& tensor) {
    return element_count(tensor.shape) * size_bytes(tensor.dtype);
}

void require_all_bytes(std::span<const TensorToWrite> tensors) {
    for (const TensorToWrite& tensor : tensors) {
        if (tensor.bytes.size() != expected_bytes(tensor)) {
            throw ShapeError("tensor '" + tensor.name + "' has " +
                             std::to_string(tensor.bytes.size()) + " bytes, expected " +
                             std::to_string(expected_bytes(tensor)) + " for its shape " +
                             to_string(tensor.shape));
        }
    }
}

std::string header_json(std::span<const TensorToWrite> tensors) {
    nlohmann::ordered_json header;
    header["__metadata__"]["format"] = "pt";
    std::set<std::string> names{"__metadata__"};
    std::uint64_t offset = 0;
    for (const TensorToWrite& tensor : tensors) {
        const std::size_t expected = expected_bytes(tensor);
        if (!names.insert(tensor.name).second) {
            throw InternalError("two tensors called '" + tensor.name + "' in one file");
        }
        nlohmann::ordered_json& entry = header[tensor.name];
        entry["dtype"] = safetensors_name(tensor.dtype);
        entry["shape"] = tensor.shape;
        entry["data_offsets"] = {offset, offset + expected};
        offset += expected;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
}

}  // namespace

std::uint64_t safetensors_bytes(std::span<const TensorToWrite> tensors) {
    std::uint64_t bytes = sizeof(std::uint64_t) + header_json(in_data_order(tensors)).size();
    for (const TensorToWrite& tensor : tensors) {
        bytes += expected_bytes(tensor);
    }
    return bytes;
}

void write_safetensors(const fs::path& path, std::span<const TensorToWrite> tensors) {
    require_all_bytes(tensors);
    const std::vector<TensorToWrite> ordered = in_data_order(tensors);
    const std::string header = header_json(ordered);
    const std::uint64_t length = header.size();

    AtomicFile target(path);
    OutputFile out(target.temporary(), path);
    out.write(&length, sizeof length);
    out.write(header.data(), header.size());
    for (const TensorToWrite& tensor : ordered) {
        out.write(tensor.bytes.data(), tensor.bytes.size());
    }
    out.close();
    target.commit();
}

}  // namespace lathe
