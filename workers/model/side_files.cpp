#include "workers/model/side_files.hpp"

#include <array>

#include "lib/core/file.hpp"
#include "lib/model/stream.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

constexpr std::array side_files{
    "config.json",
    slicing_file,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "added_tokens.json",
    "chat_template.jinja",
};

}  // namespace

std::uint64_t copy_side_files(const fs::path& from, const fs::path& to) {
    std::uint64_t bytes = 0;
    for (const char* name : side_files) {
        std::error_code ignored;
        if (!fs::is_regular_file(from / name, ignored)) {
            continue;
        }
        const std::string content = read_file(from / name);
        write_file(to / name, content);
        bytes += content.size();
    }
    return bytes;
}

std::uint64_t side_file_bytes(const fs::path& from) {
    std::uint64_t bytes = 0;
    for (const char* name : side_files) {
        std::error_code error;
        const std::uint64_t size = fs::file_size(from / name, error);
        if (!error) {
            bytes += size;
        }
    }
    return bytes;
}

}  // namespace lathe
