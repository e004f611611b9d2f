#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/core/file.hpp"

namespace lathe {

/// One finished task.
struct JournalEntry {
    std::string task;  ///< id
    std::string stage;
    double seconds = 0.0;
    int rank = 0;
    std::uint64_t size_bytes = 0;  ///< of the artifact
    std::string artifact;          ///< path relative to the run directory
    std::string text;              ///< the stage's answer
    /// Seconds since 1970, for reports; 0 in lines of versions that did not write it.
    double ended = 0.0;

    bool operator==(const JournalEntry&) const = default;
};

/// What a journal file holds: one entry for each task, the last one written, in the order in which
/// the tasks were first written.
struct JournalContent {
    std::vector<JournalEntry> entries;
    /// Damaged lines before the last one. A damaged last line is what a killed process leaves and
    /// is not counted.
    std::size_t n_corrupt = 0;
    bool is_damaged = false;  ///< any line was dropped
};

/// Reads without changing anything, also while a job writes. A missing file is an empty journal.
/// @throws IoError
[[nodiscard]] JournalContent read_journal(const std::filesystem::path& path);

/// journal.jsonl: one line of JSON for each finished task, with a check sum (XXH3) of the line.
/// It is a cache: the truth is the artifacts, so a line that is lost costs a look at a file or, at
/// worst, the task again. Not thread-safe; one process at a time may hold it open.
class Journal {
public:
    /// Creates the file if needed. Damaged lines are dropped from the file too.
    /// @throws IoError
    explicit Journal(const std::filesystem::path& path);

    /// The last line for this task, of those read at the start and those recorded since.
    [[nodiscard]] std::optional<JournalEntry> find(std::string_view task) const;
    /// On disk when this returns. @throws IoError
    void record(JournalEntry entry);
    [[nodiscard]] const std::vector<JournalEntry>& entries() const noexcept { return entries_; }
    [[nodiscard]] std::size_t n_corrupt() const noexcept { return n_corrupt_; }

private:
    Journal(const std::filesystem::path& path, JournalContent content);

    std::vector<JournalEntry> entries_;
    std::unordered_map<std::string, std::size_t> positions_;
    std::size_t n_corrupt_ = 0;
    AppendFile file_;
};

}  // namespace lathe
