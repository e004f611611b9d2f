#include "orchestrator/exit_file.hpp"

#include <string>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/log.hpp"

namespace lathe {

void leave_exit_code(const std::filesystem::path& file, int code) {
    if (file.empty()) {
        return;
    }
    try {
        write_file(file, std::to_string(code) + "\n");
    } catch (const Error& e) {
        log_warning(std::string("exit_file_not_written reason=\"") + e.what() + "\"");
    }
}

}  // namespace lathe
