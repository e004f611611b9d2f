#include "orchestrator/source_files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <sys/stat.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "lib/core/whole_number.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// A file is hashed in pieces of this size, on all threads; the hash is that of theirs.
constexpr std::size_t piece_bytes = std::size_t{64} << 20;
/// Below it nobody waits for the hashes of new files.
constexpr std::uint64_t noticed_bytes = std::uint64_t{4} << 30;

std::int64_t nanoseconds(const timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// Without the hash.
SourceFile look_at(const fs::path& directory, const std::string& name) {
    struct stat found {};
    if (::stat((directory / name).c_str(), &found) != 0) {
        throw MissingInputError((directory / name).string() + ": " + std::strerror(errno));
    }
    return {name, static_cast<std::uint64_t>(found.st_size), nanoseconds(found.st_mtim),
            nanoseconds(found.st_ctim), ""};
}

bool look_alike(const SourceFile& a, const SourceFile& b) {
    return a.bytes == b.bytes && a.modified == b.modified && a.changed == b.changed;
}

std::string hash_of_file(const fs::path& path, ThreadPool& pool) {
    const MappedFile file(path);
    const std::size_t n_pieces = (file.bytes().size() + piece_bytes - 1) / piece_bytes;
    std::vector<std::uint64_t> hashes(n_pieces);
    pool.for_each(n_pieces, [&](std::size_t i) {
        const auto piece = file.bytes()
                               .subspan(i * piece_bytes)
                               .first(std::min(piece_bytes, file.bytes().size() - i * piece_bytes));
        hashes[i] = hash_bytes(piece);
        file.release(piece);
    });
    Hasher hasher;
    for (const std::uint64_t hash : hashes) {
        hasher.add_field(hash);
    }
    return to_hex(hasher.digest());
}

/// Names of the files, in an order of their own.
std::vector<std::string> names_of(const SourceModel& source) {
    std::vector<std::string> names;
    for (const fs::path& file : source.weights.files()) {
        names.push_back(file.lexically_relative(source.directory).string());
    }
    for (const char* name : {"config.json", "slicing.json", "model.safetensors.index.json"}) {
        std::error_code ignored;
        if (fs::exists(source.directory / name, ignored)) {
            names.emplace_back(name);
        }
    }
    std::ranges::sort(names);
    return names;
}

std::vector<SourceFile> read_record(const fs::path& record) {
    std::vector<SourceFile> files;
    const auto json = try_parse_json(read_file(record));
    const std::string damaged =
        record.string() + " is damaged; remove the run directory to begin again";
    try {
        for (const auto& file : json.at("files")) {
            files.push_back({file.at("name"), whole_number<std::uint64_t>(file.at("bytes")),
                             whole_number<std::int64_t>(file.at("modified")),
                             whole_number<std::int64_t>(file.at("changed")), file.at("hash")});
        }
    } catch (const nlohmann::json::exception&) {
        throw DataError(damaged);
    } catch (const DataError& error) {
        throw DataError(damaged + " (" + error.what() + ")");
    }
    return files;
}

[[noreturn]] void refuse(const fs::path& file, const fs::path& record, const std::string& how) {
    throw DataError(file.string() + " " + how + " since the run in " +
                    record.parent_path().string() +
                    " began, and what is there was computed from the file as it was; put it back, "
                    "or remove the run directory to begin again");
}

}  // namespace

SourceFiles SourceFiles::compare(const SourceModel& source, const fs::path& record,
                                 ThreadPool& pool) {
    SourceFiles result;
    result.directory_ = source.directory;
    result.record_ = record;
    std::error_code ignored;
    const std::vector<SourceFile> known =
        fs::exists(record, ignored) ? read_record(record) : std::vector<SourceFile>();
    std::uint64_t bytes = 0;
    for (const std::string& name : names_of(source)) {
        result.files_.push_back(look_at(source.directory, name));
        bytes += result.files_.back().bytes;
    }
    if (known.empty() && bytes > noticed_bytes) {
        log_info("hashing_source bytes=" + std::to_string(bytes) + " (once a run)");
    }
    for (const SourceFile& before : known) {
        if (std::ranges::none_of(result.files_,
                                 [&](const SourceFile& f) { return f.name == before.name; })) {
            refuse(source.directory / before.name, record, "is gone");
        }
    }
    for (SourceFile& file : result.files_) {
        const auto before = std::ranges::find(known, file.name, &SourceFile::name);
        if (before == known.end() && !known.empty()) {
            refuse(source.directory / file.name, record, "came in");
        }
        if (before != known.end() && look_alike(file, *before)) {
            file.hash = before->hash;
            continue;
        }
        file.hash = hash_of_file(source.directory / file.name, pool);
        if (before != known.end() && file.hash != before->hash) {
            refuse(source.directory / file.name, record, "has changed");
        }
    }
    return result;
}

void SourceFiles::write_record() const {
    nlohmann::json list = nlohmann::json::array();
    for (const SourceFile& file : files_) {
        list.push_back({{"name", file.name},
                        {"bytes", file.bytes},
                        {"modified", file.modified},
                        {"changed", file.changed},
                        {"hash", file.hash}});
    }
    write_file(record_, nlohmann::json{{"files", list}}.dump(1) + "\n");
}

void SourceFiles::require_unchanged(ThreadPool& pool) const {
    for (const SourceFile& before : files_) {
        const fs::path path = directory_ / before.name;
        if (!look_alike(look_at(directory_, before.name), before) &&
            hash_of_file(path, pool) != before.hash) {
            refuse(path, record_, "has changed");
        }
    }
}

}  // namespace lathe
