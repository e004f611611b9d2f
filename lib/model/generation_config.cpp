#include "lib/model/generation_config.hpp"

#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/model/config_reader.hpp"

namespace lathe {

std::optional<std::vector<std::uint32_t>> read_end_tokens(const std::filesystem::path& directory) {
    const std::filesystem::path file = directory / "generation_config.json";
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) return std::nullopt;
    const nlohmann::json parsed = parse_json(read_file(file), file.string());
    return ConfigReader(parsed, file.string()).token_ids("eos_token_id");
}

}  // namespace lathe
