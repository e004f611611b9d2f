#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lib/core/parallel.hpp"
#include "workers/model/source_model.hpp"

namespace lathe {

/// A file of the source model as a run knows it.
struct SourceFile {
    std::string name;  ///< below the model's directory
    std::uint64_t bytes = 0;
    /// Nanoseconds since 1970: when its content changed, and when anything about it did. No program
    /// can set the second, so a file of which size and both times stay was not written to.
    std::int64_t modified = 0;
    std::int64_t changed = 0;
    std::string hash;  ///< of all its bytes
};

/// The files that results depend on, with the content that they had when a run began: config.json,
/// the files of the weights and their index. What a run has computed is of use only as long as they
/// stay, and a file that arrived damaged and was fetched again has the same name and size.
class SourceFiles {
public:
    /// Compares the model with the record in `record`, a JSON file, if there is one. A file whose
    /// size and times are those of the record is not read; of others every byte is, on all threads.
    /// @throws DataError  naming a file that is not as it was
    static SourceFiles compare(const SourceModel& source, const std::filesystem::path& record,
                               ThreadPool& pool);

    /// Brings the record up to date or begins it. @throws IoError
    void write_record() const;

    /// Looks at sizes and times again, and reads what differs there.
    /// @throws DataError  naming a file that was written to since
    void require_unchanged(ThreadPool& pool) const;

private:
    std::filesystem::path directory_;
    std::filesystem::path record_;
    std::vector<SourceFile> files_;
};

}  // namespace lathe
