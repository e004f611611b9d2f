#include "tests/fuzz/fuzzing.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

namespace lathe::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view mark = "=== ";

struct Scratch {
    fs::path path;

    Scratch() {
        const fs::path memory = "/dev/shm";
        std::error_code ignored;
        const bool has_memory =
            fs::is_directory(memory, ignored) && ::access(memory.c_str(), W_OK) == 0;
        std::string name =
            ((has_memory ? memory : fs::temp_directory_path()) / "lathe_fuzz_XXXXXX").string();
        require(::mkdtemp(name.data()) != nullptr, "a scratch folder could be made");
        path = name;
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
};

void write_over(const fs::path& path, std::string_view content) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(file >= 0, "a scratch file could be opened");
    const auto written = ::write(file, content.data(), content.size());
    ::close(file);
    require(written == static_cast<ssize_t>(content.size()), "a scratch file could be written");
}

}  // namespace

std::vector<NamedTarget>& targets() {
    static std::vector<NamedTarget> all;
    return all;
}

static bool memory_is_allowed = false;

void allow_memory() {
    memory_is_allowed = true;
}

bool is_memory_allowed() {
    return memory_is_allowed;
}

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::abort();
}

const fs::path& scratch() {
    static const Scratch folder;
    return folder.path;
}

fs::path put(const std::string& name, std::string_view content) {
    fs::path path = scratch() / name;
    write_over(path, content);
    return path;
}

Parts parts_of(std::string_view input, const std::vector<std::string>& allowed) {
    Parts parts;
    std::string name;
    bool is_wanted = std::ranges::find(allowed, name) != allowed.end();
    while (true) {
        const bool at_start = input.starts_with(mark);
        const std::size_t found = at_start ? 0 : input.find(std::string("\n") + std::string(mark));
        if (is_wanted) parts.emplace_back(name, input.substr(0, found));
        if (found == std::string_view::npos) return parts;
        input.remove_prefix(found + mark.size() + (at_start ? 0 : 1));
        const std::size_t line_end = std::min(input.find('\n'), input.size());
        name = input.substr(0, line_end);
        input.remove_prefix(std::min(line_end + 1, input.size()));
        is_wanted = std::ranges::find(allowed, name) != allowed.end();
    }
}

fs::path put_directory(const std::string& name, const Parts& files) {
    static std::vector<fs::path> present;
    for (const fs::path& file : present) ::unlink(file.c_str());
    present.clear();
    const fs::path folder = scratch() / name;
    fs::create_directory(folder);
    for (const auto& [file, content] : files) {
        if (file.find('/') != std::string::npos) {
            fs::create_directory((folder / file).parent_path());
        }
        write_over(folder / file, content);
        present.push_back(folder / file);
    }
    return folder;
}

std::string small_safetensors(const std::string& tensor) {
    const std::string header =
        "{\"" + tensor + "\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    std::string file(8, '\0');
    file[0] = static_cast<char>(header.size());
    return file.append(header).append("ab");
}

std::size_t take_byte(std::string_view& input) {
    if (input.empty()) return 0;
    const auto byte = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    return byte;
}

}  // namespace lathe::fuzz
