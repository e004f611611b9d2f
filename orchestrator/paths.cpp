#include "orchestrator/paths.hpp"

#include "lib/core/errors.hpp"
#include "lib/core/utf8.hpp"

namespace lathe {
namespace fs = std::filesystem;

void require_utf8(const std::string& text, const std::string& what) {
    if (!is_valid_utf8(text)) {
        throw UsageError(what + " is not UTF-8: " + repair_utf8(text));
    }
}

void make_absolute(fs::path& path, const std::string& what) {
    std::error_code error;
    path = fs::absolute(path, error).lexically_normal();
    if (error) {
        throw UsageError(
            what + " is relative to a working directory that is not there: " + error.message());
    }
    require_utf8(path.string(), what);
}

fs::path find_input(const fs::path& path) {
    std::error_code error;
    if (path.empty() || path.is_absolute() || fs::exists(path, error)) {
        return path;
    }
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    const fs::path installed = program.parent_path().parent_path() / "share/lathe" / path;
    return !error && fs::exists(installed, error) ? installed : path;
}

void make_absolute_input(fs::path& path, const std::string& what) {
    path = find_input(path);
    make_absolute(path, what);
}

}  // namespace lathe
