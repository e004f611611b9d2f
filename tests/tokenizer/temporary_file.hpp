#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <unistd.h>

namespace lathe::tokenizer {

/// A file with this content as long as the object lives.
class TemporaryFile {
public:
    TemporaryFile(const std::string& name, std::string_view content) {
        static int counter = 0;
        directory_ =
            std::filesystem::temp_directory_path() /
            ("lathe_tokenizer_" + std::to_string(::getpid()) + "_" + std::to_string(counter++));
        std::filesystem::create_directory(directory_);
        path_ = directory_ / name;
        std::ofstream(path_, std::ios::binary) << content;
    }
    ~TemporaryFile() {
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

private:
    std::filesystem::path directory_;
    std::filesystem::path path_;
};

/// The message of the error that `action` throws, "" if it throws none.
template <class ErrorType, class Action>
std::string message_of(Action action) {
    try {
        action();
    } catch (const ErrorType& error) {
        return error.what();
    }
    return "";
}

}  // namespace lathe::tokenizer
