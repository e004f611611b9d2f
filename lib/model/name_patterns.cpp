#include "lib/model/name_patterns.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "lib/core/edit_distance.hpp"
#include "lib/core/errors.hpp"
#include "lib/model/family.hpp"

namespace lathe {
namespace {

/// std::regex recurses for each character: a name beyond this length could exhaust the stack, and
/// no real tensor has one.
constexpr std::size_t longest_name = 1000;
constexpr std::size_t longest_shown = 200;

std::string quoted(const std::string& entry) {
    return "\"" + entry.substr(0, longest_shown) + (entry.size() > longest_shown ? "...\"" : "\"");
}

/// The module a tensor belongs to; a name that ends in no parameter's is its own.
std::string_view module_of(std::string_view name) {
    constexpr std::array<std::string_view, 4> parameters{".weight", ".bias", ".gamma", ".beta"};
    for (const std::string_view end : parameters) {
        if (name.ends_with(end)) {
            return name.substr(0, name.size() - end.size());
        }
    }
    return name;
}

/// Whether `part` stands in `whole` and begins and ends at a dot or an end.
bool has_words(std::string_view whole, std::string_view part) {
    for (std::size_t at = whole.find(part); at != std::string_view::npos;
         at = whole.find(part, at + 1)) {
        const std::size_t end = at + part.size();
        if ((at == 0 || whole[at - 1] == '.') && (end == whole.size() || whole[end] == '.')) {
            return true;
        }
    }
    return false;
}

bool matches(std::string_view name, const std::regex& pattern) {
    return std::regex_search(name.begin(), name.end(), pattern,
                             std::regex_constants::match_continuous);
}

/// "*" stands for any characters, everything else for itself. The first star that fits takes as
/// little as it can: if the rest does not follow, only the last star met may take more.
bool matches_stars(std::string_view name, std::string_view text) {
    std::size_t at = 0;
    std::size_t in_text = 0;
    std::size_t last_star = std::string_view::npos;
    std::size_t behind_star = 0;  // in the name
    while (at < name.size()) {
        if (in_text < text.size() && text[in_text] == '*') {
            last_star = in_text++;
            behind_star = at;
        } else if (in_text < text.size() && text[in_text] == name[at]) {
            ++in_text;
            ++at;
        } else if (last_star != std::string_view::npos) {
            in_text = last_star + 1;
            at = ++behind_star;
        } else {
            return false;
        }
    }
    return text.find_first_not_of('*', in_text) == std::string_view::npos;
}

/// libstdc++ tries all ways of a pattern at once if asked to, which is no standard; else it goes
/// back and forth, and a pattern like (a+)+$ takes for ever.
std::regex expression(const std::string& pattern) {
    if (pattern.size() > longest_name) {
        throw std::regex_error(std::regex_constants::error_complexity);
    }
    // libstdc++ reads the numbers in a{2,3} without a look at their size.
    constexpr std::size_t most_digits = 6;
    std::size_t n_digits = 0;
    for (const char c : pattern) {
        n_digits = c >= '0' && c <= '9' ? n_digits + 1 : 0;
        if (n_digits > most_digits) throw std::regex_error(std::regex_constants::error_badbrace);
    }
#ifdef __GLIBCXX__
    return std::regex(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
#else
    return std::regex(pattern);
#endif
}

/// The name in the source and, where that was saved from the base model alone, the usual one.
void append_names(const ModelSpec& spec, const std::string& tensor,
                  std::vector<std::string>& names) {
    names.push_back(tensor);
    const FamilyRow* family = find_family(spec.family);
    if (family != nullptr && !tensor.starts_with(family->prefix)) {
        names.push_back(std::string(family->prefix) + tensor);
    }
}

/// Last words of modules: "q_proj".
std::vector<std::string> short_names(const std::vector<std::string>& names) {
    std::vector<std::string> result;
    for (const std::string& name : names) {
        const std::string_view module = module_of(name);
        std::string word(module.substr(module.rfind('.') + 1));
        if (std::ranges::find(result, word) == result.end()) {
            result.push_back(std::move(word));
        }
    }
    return result;
}

std::string joined(const std::vector<std::string>& words, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < std::min(count, words.size()); ++i) {
        text += (i == 0 ? "" : ", ") + words[i];
    }
    return text;
}

}  // namespace

NamePatterns::NamePatterns(const std::vector<std::string>& entries, const std::string& key) {
    for (const std::string& entry : entries) {
        if (!entry.starts_with("re:")) {
            entries_.push_back({entry, entry.find('*') != std::string::npos, std::nullopt});
            continue;
        }
        try {
            entries_.push_back({entry, false, expression(entry.substr(3))});
        } catch (const std::regex_error& error) {
            throw UsageError(key + ": " + quoted(entry) +
                             " is not a regular expression: " + error.what());
        }
    }
}

bool NamePatterns::Entry::has(const std::string& name) const {
    const std::string_view module = module_of(name);
    if (has_star) {
        return name.size() <= longest_name &&
               (matches_stars(name, text) || matches_stars(module, text));
    }
    if (!pattern) {
        return name == text || (!text.empty() && has_words(module, text));
    }
    return name.size() <= longest_name && (matches(name, *pattern) || matches(module, *pattern));
}

bool NamePatterns::has(const std::string& name) const {
    return std::ranges::any_of(entries_, [&](const Entry& entry) { return entry.has(name); });
}

bool NamePatterns::has(const ModelSpec& spec, const UnitSpec& unit) const {
    return !entries_.empty() &&
           std::ranges::any_of(names_of(spec, unit),
                               [&](const std::string& name) { return has(name); });
}

bool NamePatterns::passes_over(const std::string& tensor, const ModelSpec& spec) const {
    return std::ranges::any_of(entries_, [&](const Entry& entry) {
        if (!entry.has(tensor)) {
            return false;
        }
        if (entry.is_pattern() || entry.text == tensor || entry.text == module_of(tensor)) {
            return true;
        }
        return std::ranges::none_of(spec.tensors,
                                    [&](const TensorSpec& own) { return entry.has(own.name); });
    });
}

std::vector<std::string> names_of(const ModelSpec& spec, const UnitSpec& unit) {
    std::vector<std::string> names{unit.name};
    bool is_embedding = false;
    bool is_head = false;
    for (const std::size_t t : unit.tensors) {
        const TensorSpec& tensor = spec.tensors[t];
        append_names(spec, tensor.name, names);
        is_embedding = is_embedding || tensor.role == Role::token_embedding;
        is_head = is_head || tensor.role == Role::lm_head;
    }
    names.emplace_back(is_embedding ? "Embedding" : "Linear");
    if (is_embedding) {
        names.emplace_back("embed_tokens");
    }
    if (is_head || (is_embedding && spec.tied_head)) {
        names.insert(names.end(), {"lm_head", "head"});
        if (const FamilyRow* family = find_family(spec.family)) {
            names.emplace_back(family->head);
        }
    }
    return names;
}

void KnownNames::add(const ModelSpec& spec) {
    for (const UnitSpec& unit : spec.units) {
        const std::vector<std::string> own = names_of(spec, unit);
        names_.insert(names_.end(), own.begin(), own.end());
    }
    for (const TensorSpec& tensor : spec.tensors) {
        append_names(spec, tensor.name, names_);
    }
}

void KnownNames::add(const std::vector<PassedOver>& tensors) {
    for (const PassedOver& tensor : tensors) {
        names_.push_back(tensor.name);
    }
}

void KnownNames::require(const std::vector<std::string>& entries, const std::string& key) const {
    for (const std::string& entry : entries) {
        const NamePatterns pattern({entry}, key);
        if (std::ranges::none_of(names_,
                                 [&](const std::string& name) { return pattern.has(name); })) {
            throw UsageError(key + " " + describe_unknown_name(entry, names_));
        }
    }
}

std::string describe_unknown_name(const std::string& entry, const std::vector<std::string>& names) {
    std::vector<std::string> words = short_names(names);
    const std::size_t n_short = words.size();
    for (const std::string& name : names) {
        words.emplace_back(module_of(name));
    }
    const bool is_pattern = entry.starts_with("re:");
    const auto near =
        nearest_words(is_pattern ? std::string_view(entry).substr(3) : entry, words, 3);
    std::string text = "names " + quoted(entry) +
                       ", which is no tensor, module or unit of the model" +
                       (is_pattern ? " (an expression matches from the start of a name)" : "");
    if (!near.empty()) {
        return text + "; nearest: " + joined(near, near.size());
    }
    constexpr std::size_t most_listed = 20;
    words.resize(n_short);
    return text + "; its names include " + joined(words, most_listed);
}

}  // namespace lathe
