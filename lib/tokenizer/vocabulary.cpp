#include "lib/tokenizer/vocabulary.hpp"

#include "lib/core/json.hpp"

namespace lathe::tokenizer {

Vocabulary::Vocabulary(const JsonPlace& place) {
    if (!place.value().is_object()) place.fail("expected an object {token: id}");
    ids_.reserve(place.value().size());
    for (const auto& [token, value] : place.value().items()) {
        if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
            value.get<std::uint64_t>() >= id_bound) {
            place.fail("the id of token \"" + token + "\" is " + value.dump() +
                       ", expected a whole number below " + std::to_string(id_bound));
        }
        const auto id = value.get<std::uint32_t>();
        const auto entry = ids_.emplace(token, id).first;
        if (id >= token_of_.size()) token_of_.resize(std::size_t{id} + 1, nullptr);
        if (token_of_[id] != nullptr) {
            place.fail("id " + std::to_string(id) + " belongs to two tokens, \"" + *token_of_[id] +
                       "\" and \"" + token + "\"");
        }
        token_of_[id] = &entry->first;
    }
    n_tokens_ = ids_.size();
}

Vocabulary::Vocabulary(const std::vector<std::string>& tokens) : n_tokens_(tokens.size()) {
    ids_.reserve(tokens.size());
    for (std::size_t id = 0; id < tokens.size(); ++id) {
        const auto entry = ids_.insert_or_assign(tokens[id], static_cast<std::uint32_t>(id)).first;
        token_of_.push_back(&entry->first);
    }
}

std::optional<std::uint32_t> Vocabulary::id_of(std::string_view token) const {
    const auto entry = ids_.find(token);
    if (entry == ids_.end()) return std::nullopt;
    return entry->second;
}

const std::string* Vocabulary::token_of(std::uint32_t id) const {
    return id < token_of_.size() ? token_of_[id] : nullptr;
}

}  // namespace lathe::tokenizer
