#include "lib/model/settled_config.hpp"

#include <algorithm>

#include "lib/core/json.hpp"
#include "lib/model/family.hpp"

namespace lathe {
namespace {

const FoundTensor* find_any(const std::vector<FoundTensor>& found,
                            std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
        const auto tensor = std::ranges::find(found, name, &FoundTensor::name);
        if (!name.empty() && tensor != found.end()) return &*tensor;
    }
    return nullptr;
}

}  // namespace

std::optional<SettledConfig> settle_config(
    const std::string& config_json, const std::vector<FoundTensor>& found,
    const std::function<bool(const std::string&, const std::string&)>& equal,
    const std::string& where) {
    const ModelSpec spec = read_model_spec(config_json, where);
    const FamilyRow& family = *find_family(spec.family);
    if (!spec.tied_head || family.head.empty()) return std::nullopt;
    const std::string_view name =
        spec.tensors.at(spec.find(Role::token_embedding, std::nullopt).value()).name;
    const std::string_view short_name =
        name.starts_with(family.prefix) ? name.substr(family.prefix.size()) : name;
    const FoundTensor* embedding = find_any(found, {name, short_name});
    const FoundTensor* head = find_any(found, {family.head, family.other_head});
    if (!embedding || !head) return std::nullopt;
    if (embedding->shape == head->shape && equal(embedding->name, head->name)) return std::nullopt;
    nlohmann::json config = parse_json(config_json);
    config["tie_word_embeddings"] = false;
    return SettledConfig{config.dump(2) + "\n",
                         "tie_word_embeddings is false, not true: " + head->name +
                             " is stored beside " + embedding->name + " and differs from it"};
}

}  // namespace lathe
