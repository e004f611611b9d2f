#include <algorithm>

#include "lib/config/job_keys.hpp"

namespace lathe {
namespace {

const JobKey* find_key(const std::vector<JobKey>& keys, const JobKey& like) {
    const auto found = std::ranges::find_if(keys, [&](const JobKey& key) {
        return key.section == like.section && key.name == like.name;
    });
    return found == keys.end() ? nullptr : &*found;
}

}  // namespace

std::vector<std::string> incompatible_changes(const JobConfig& before, const JobConfig& now) {
    const std::vector<JobKey> old_keys = job_keys(before);
    const std::vector<JobKey> new_keys = job_keys(now);
    std::vector<std::string> changes;
    // A key that only one of them has (of a section that may be absent) was or is "none".
    const auto compare = [&](const JobKey& key, const std::string& now_text,
                             const std::string& old_text) {
        if (key.may_change || now_text == old_text) {
            return;
        }
        std::string path = key.section.empty() ? "" : std::string(key.section) + ".";
        path += key.name;
        changes.push_back(path + ": " + now_text + ", was " + old_text);
    };
    for (const JobKey& key : new_keys) {
        const JobKey* old = find_key(old_keys, key);
        compare(key, key.text, old == nullptr ? "none" : old->text);
    }
    for (const JobKey& key : old_keys) {
        if (find_key(new_keys, key) == nullptr) {
            compare(key, "none", key.text);
        }
    }
    return changes;
}

}  // namespace lathe
