#include "lib/job/export_formats.hpp"

namespace lathe {

std::string list_export_formats() {
    std::string list;
    for (const std::string_view name : export_format_names) {
        list += (list.empty() ? "" : ", ") + std::string(name);
    }
    return list;
}

}  // namespace lathe
