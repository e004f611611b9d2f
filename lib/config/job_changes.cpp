#include "lib/config/job_keys.hpp"

namespace lathe {

std::vector<std::string> incompatible_changes(const JobConfig& before, const JobConfig& now) {
    const std::vector<JobKey> old_keys = job_keys(before);
    const std::vector<JobKey> new_keys = job_keys(now);
    std::vector<std::string> changes;
    for (std::size_t i = 0; i < new_keys.size(); ++i) {
        const JobKey& key = new_keys[i];
        if (key.may_change || key.text == old_keys[i].text) {
            continue;
        }
        std::string path = key.section.empty() ? "" : std::string(key.section) + ".";
        path += key.name;
        changes.push_back(path + ": " + key.text + ", was " + old_keys[i].text);
    }
    return changes;
}

}  // namespace lathe
