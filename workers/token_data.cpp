#include "workers/token_data.hpp"

#include <cmath>

#include <nlohmann/json.hpp>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

std::string text_of_jsonl(const std::filesystem::path& file) {
    const std::string content = read_file(file);
    std::string text;
    std::size_t line_number = 0;
    for (std::size_t begin = 0; begin < content.size();) {
        const std::size_t end = std::min(content.find('\n', begin), content.size());
        const std::string line = content.substr(begin, end - begin);
        begin = end + 1;
        ++line_number;
        if (line.find_first_not_of(" \t\r") == std::string::npos) {
            continue;
        }
        const auto row = nlohmann::json::parse(line, nullptr, false);
        if (!row.is_object() || !row.contains("text") || !row["text"].is_string()) {
            throw DataError(file.string() + ":" + std::to_string(line_number) +
                            ": expected a JSON object with a field \"text\"");
        }
        text += row["text"].get<std::string>();
    }
    return text;
}

std::vector<std::uint32_t> ids_of_h5(const std::filesystem::path& file) {
    const std::vector<std::int64_t> stored = ArtifactReader(file).read_integers("input_ids");
    std::vector<std::uint32_t> ids;
    ids.reserve(stored.size());
    for (std::int64_t id : stored) {
        if (id < 0 || id > 0xFFFFFFFFLL) {
            throw DataError(file.string() + ": input_ids has " + std::to_string(id) +
                            ", expected token ids");
        }
        ids.push_back(static_cast<std::uint32_t>(id));
    }
    return ids;
}

std::vector<std::uint32_t> read_one(const std::filesystem::path& file, const Tokenizer* tokenizer) {
    const std::string extension = file.extension().string();
    if (extension == ".h5" || extension == ".hdf5") {
        return ids_of_h5(file);
    }
    if (extension != ".txt" && extension != ".raw" && extension != ".jsonl") {
        throw DataError(file.string() +
                        ": unknown kind of text file; expected .txt, .raw, .jsonl "
                        "(field \"text\") or .h5 (dataset input_ids)");
    }
    if (tokenizer == nullptr) {
        throw DataError(file.string() + ": a text needs the model's tokenizer, and it has none");
    }
    return tokenizer->encode(extension == ".jsonl" ? text_of_jsonl(file) : read_file(file), false);
}

}  // namespace

std::vector<std::uint32_t> read_token_stream(std::span<const std::filesystem::path> files,
                                             const Tokenizer* tokenizer, std::size_t vocab_size) {
    std::vector<std::uint32_t> stream;
    for (const std::filesystem::path& file : files) {
        const std::vector<std::uint32_t> ids = read_one(file, tokenizer);
        for (std::uint32_t id : ids) {
            if (id >= vocab_size) {
                throw DataError(file.string() + ": token id " + std::to_string(id) +
                                " is not below the model's vocabulary of " +
                                std::to_string(vocab_size));
            }
        }
        stream.insert(stream.end(), ids.begin(), ids.end());
    }
    return stream;
}

TokenWindows all_windows(std::span<const std::uint32_t> stream, std::size_t length) {
    const std::size_t n = stream.size() / length * length;
    return {length, std::vector<std::uint32_t>(stream.begin(),
                                               stream.begin() + static_cast<std::ptrdiff_t>(n))};
}

TokenWindows spread_windows(std::span<const std::uint32_t> stream, std::size_t length,
                            std::size_t count, double offset, const std::string& what) {
    const std::size_t available = stream.size() / length;
    if (available < count) {
        throw DataError(what + " is too short: " + std::to_string(stream.size()) + " tokens make " +
                        std::to_string(available) + " samples of " + std::to_string(length) +
                        " tokens, " + std::to_string(count) + " were asked for");
    }
    TokenWindows windows{length, {}};
    windows.ids.reserve(count * length);
    for (std::size_t w = 0; w < count; ++w) {
        const double place = (static_cast<double>(w) + offset) * static_cast<double>(available) /
                             static_cast<double>(count);
        const auto from =
            stream.begin() +
            static_cast<std::ptrdiff_t>(static_cast<std::size_t>(std::floor(place)) * length);
        windows.ids.insert(windows.ids.end(), from, from + static_cast<std::ptrdiff_t>(length));
    }
    return windows;
}

}  // namespace lathe
