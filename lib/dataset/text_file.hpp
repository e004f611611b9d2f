#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// A text file in memory (read_text_file()), cut into lines. The carriage returns of CRLF files and
/// blank lines at the end are dropped.
class TextFile {
public:
    /// @throws MissingInputError, IoError
    /// @throws DataError  if there is no line, or what is there is no text
    explicit TextFile(const std::filesystem::path& path);
    TextFile(const TextFile&) = delete;
    TextFile& operator=(const TextFile&) = delete;

    /// At least one; they live as long as the object.
    [[nodiscard]] const std::vector<std::string_view>& lines() const { return lines_; }
    /// "FILE: line N" for lines()[index], with N counted from 1 as editors do.
    [[nodiscard]] std::string place(std::size_t index) const;

private:
    std::string name_;
    std::string content_;
    std::vector<std::string_view> lines_;
};

}  // namespace lathe
