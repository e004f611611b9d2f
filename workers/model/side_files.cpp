#include "workers/model/side_files.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>

#include "lib/core/file.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

bool ends_in_one_of(const std::string& name, std::span<const std::string_view> ends) {
    return std::ranges::any_of(ends, [&](std::string_view end) { return name.ends_with(end); });
}

/// What a directory needs to be loaded, beside weights: configurations, tokenizers, templates,
/// programs; and the licence, which goes with every copy.
bool is_side_file(const std::string& name) {
    static constexpr std::array<std::string_view, 7> kinds{".json",     ".jinja", ".txt", ".model",
                                                           ".tiktoken", ".vocab", ".py"};
    static constexpr std::array<std::string_view, 4> licences{"LICENSE", "LICENCE", "NOTICE",
                                                              "USE_POLICY"};
    // What belongs to other files of weights, to training, or to our own directories.
    static constexpr std::array<std::string_view, 9> others{
        "index.json",           "trainer_state.json", "adapter_config.json",
        "quantize_config.json", "quant_config.json",  "recipe.json",
        "manifest.json",        "report.json",        "status.json"};
    if (name.starts_with('.') || ends_in_one_of(name, others) || name.ends_with("_results.json")) {
        return false;
    }
    return ends_in_one_of(name, kinds) ||
           std::ranges::any_of(licences,
                               [&](std::string_view begin) { return name.starts_with(begin); });
}

/// Programs and templates in folders below, which "auto_map" and generation may name.
bool is_nested_side_file(const std::string& name) {
    static constexpr std::array<std::string_view, 2> kinds{".py", ".jinja"};
    return !name.starts_with('.') && ends_in_one_of(name, kinds);
}

void add_side_files(const fs::path& root, const fs::path& folder, int depth,
                    std::vector<fs::path>& found) {
    constexpr int deepest = 3;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(root / folder, ignored)) {
        const std::string name = entry.path().filename().string();
        if (entry.is_directory(ignored)) {
            // A folder with a config.json is another model, such as one saved in training.
            const bool is_model = fs::exists(entry.path() / "config.json", ignored);
            if (depth < deepest && !name.starts_with('.') && !is_model) {
                add_side_files(root, folder / name, depth + 1, found);
            }
        } else if (entry.is_regular_file(ignored) &&
                   (depth == 0 ? is_side_file(name) : is_nested_side_file(name))) {
            found.push_back(folder / name);
        }
    }
}

}  // namespace

std::vector<fs::path> side_files(const fs::path& directory) {
    std::vector<fs::path> found;
    add_side_files(directory, "", 0, found);
    std::ranges::sort(found);
    return found;
}

std::uint64_t copy_side_files(const fs::path& from, const fs::path& to) {
    std::uint64_t bytes = 0;
    for (const fs::path& name : side_files(from)) {
        const std::string content = read_file(from / name);
        make_directories((to / name).parent_path());
        write_file(to / name, content);
        bytes += content.size();
    }
    return bytes;
}

std::uint64_t side_file_bytes(const fs::path& from) {
    std::uint64_t bytes = 0;
    for (const fs::path& name : side_files(from)) {
        std::error_code error;
        const std::uint64_t size = fs::file_size(from / name, error);
        if (!error) {
            bytes += size;
        }
    }
    return bytes;
}

}  // namespace lathe
