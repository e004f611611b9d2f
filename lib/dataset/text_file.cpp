#include "lib/dataset/text_file.hpp"

#include "lib/core/errors.hpp"
#include "lib/core/text_input.hpp"

namespace lathe {

TextFile::TextFile(const std::filesystem::path& path)
    : name_(path.string()), content_(read_text_file(path)) {
    std::string_view rest = content_;
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (line.ends_with('\r')) line.remove_suffix(1);
        lines_.push_back(line);
    }
    while (!lines_.empty() && lines_.back().empty()) lines_.pop_back();
    if (lines_.empty()) throw DataError(name_ + " is empty; expected one example a line");
}

std::string TextFile::place(std::size_t index) const {
    return name_ + ": line " + std::to_string(index + 1);
}

}  // namespace lathe
