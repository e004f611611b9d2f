#include "lib/tokenizer/added_tokens.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/tokenizer/regex.hpp"
#include "lib/tokenizer/regex_dialect.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

bool is_word_character(char32_t code_point) {
    if (code_point < 0x80) {
        return (code_point >= '0' && code_point <= '9') || code_point == '_' ||
               ((code_point | 0x20) >= 'a' && (code_point | 0x20) <= 'z');
    }
    static const Regex word("[" + std::string(rust_word_set) + "]");
    std::string text;
    append_code_point(text, code_point);
    std::vector<Span> matches;
    word.find_all(text, matches);
    return !matches.empty();
}

bool word_ends_at(std::string_view text, std::size_t position) {
    return position > 0 && is_word_character(previous_code_point(text, position));
}

bool word_begins_at(std::string_view text, std::size_t position) {
    return position < text.size() && is_word_character(next_code_point(text, position));
}

std::size_t space_begin_before(std::string_view text, std::size_t position) {
    std::size_t begin = position;
    while (position > 0 && is_white_space(previous_code_point(text, position))) begin = position;
    return begin;
}

std::size_t space_end_behind(std::string_view text, std::size_t position) {
    std::size_t end = position;
    while (position < text.size() && is_white_space(next_code_point(text, position))) {
        end = position;
    }
    return end;
}

}  // namespace

/// Finds tokens in a text by a tree of their bytes.
class AddedTokens::Finder {
public:
    Finder() { nodes_.emplace_back(); }

    /// Of two tokens with the same text the first one counts. A token whose text is empty, because
    /// normalisation left nothing of it, is never found.
    void add(const AddedToken& token) {
        if (token.text.empty()) return;
        std::size_t node = 0;
        for (const char byte : token.text) node = child_or_new(node, byte);
        if (nodes_[node].token == nullptr) nodes_[node].token = &token;
        starts_[static_cast<unsigned char>(token.text.front())] = true;
    }

    std::vector<TextPart> cut(std::string_view text) const {
        std::vector<TextPart> parts;
        std::size_t done = 0;
        for (std::size_t i = 0; i < text.size();) {
            const Hit hit = longest_at(text, i);
            if (hit.token == nullptr) {
                ++i;
                continue;
            }
            const std::size_t end = i + hit.length;
            add_part(text, {i, end, {}}, *hit.token, done, parts);
            i = end;
        }
        if (done < text.size()) parts.push_back({done, text.size(), std::nullopt});
        return parts;
    }

private:
    struct Node {
        std::vector<std::pair<char, std::size_t>> children;
        const AddedToken* token = nullptr;
    };
    struct Hit {
        const AddedToken* token;
        std::size_t length;
    };

    const std::size_t* child(std::size_t node, char byte) const {
        for (const auto& [label, target] : nodes_[node].children) {
            if (label == byte) return &target;
        }
        return nullptr;
    }

    std::size_t child_or_new(std::size_t node, char byte) {
        if (const std::size_t* target = child(node, byte)) return *target;
        nodes_[node].children.emplace_back(byte, nodes_.size());
        nodes_.emplace_back();
        return nodes_.size() - 1;
    }

    Hit longest_at(std::string_view text, std::size_t position) const {
        Hit hit{nullptr, 0};
        if (!starts_[static_cast<unsigned char>(text[position])]) return hit;
        std::size_t node = 0;
        for (std::size_t i = position; i < text.size(); ++i) {
            const std::size_t* next = child(node, text[i]);
            if (next == nullptr) break;
            node = *next;
            if (nodes_[node].token != nullptr) hit = {nodes_[node].token, i + 1 - position};
        }
        return hit;
    }

    /// Appends the token found at `found` and the text between it and `done`.
    static void add_part(std::string_view text, TextPart found, const AddedToken& token,
                         std::size_t& done, std::vector<TextPart>& parts) {
        if (token.single_word &&
            (word_ends_at(text, found.begin) || word_begins_at(text, found.end))) {
            return;
        }
        if (token.lstrip) found.begin = std::max(space_begin_before(text, found.begin), done);
        if (token.rstrip) found.end = space_end_behind(text, found.end);
        if (done < found.begin) parts.push_back({done, found.begin, std::nullopt});
        found.id = token.id;
        // The token before may have taken all of this one, when both take white space along.
        if (found.begin < found.end) parts.push_back(found);
        done = found.end;
    }

    std::vector<Node> nodes_;
    std::array<bool, 256> starts_{};  // whether a token begins with this byte
};

AddedTokens::AddedTokens(const JsonPlace& place, const Vocabulary& vocabulary,
                         const Normalizer& normalizer)
    : raw_(std::make_unique<Finder>()), normalized_(std::make_unique<Finder>()) {
    for (const JsonPlace& item : place.items()) add(item, vocabulary);
    // From here on tokens_ does not move. Special tokens come first, as in the original: of two
    // tokens that normalise to the same text the first one counts.
    std::stable_partition(tokens_.begin(), tokens_.end(),
                          [](const AddedToken& token) { return token.special; });
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
        AddedToken& token = tokens_[i];
        index_of_id_[token.id] = i;
        if (token.normalized) {
            Section section{token.content, true};
            normalizer.apply(section);
            token.text = std::move(section.text);
        }
        (token.normalized ? normalized_ : raw_)->add(token);
    }
}

AddedTokens::~AddedTokens() = default;

void AddedTokens::add(const JsonPlace& place, const Vocabulary& vocabulary) {
    const bool special = place.boolean_or("special", false);
    AddedToken token{place.at("id").integer(),
                     place.at("content").string(),
                     place.at("content").string(),
                     place.boolean_or("single_word", false),
                     place.boolean_or("lstrip", false),
                     place.boolean_or("rstrip", false),
                     place.boolean_or("normalized", !special),
                     special};
    if (token.content.empty()) place.fail("the content of an added token is empty");
    if (token.id >= Vocabulary::id_bound)
        place.fail("id " + std::to_string(token.id) + " is too large");
    const std::optional<std::uint32_t> id = vocabulary.id_of(token.content);
    if (id && *id != token.id) {
        place.fail("token \"" + token.content + "\" has id " + std::to_string(token.id) +
                   " here and " + std::to_string(*id) + " in the vocabulary");
    }
    const std::string* owner = vocabulary.token_of(token.id);
    if (owner != nullptr && *owner != token.content) {
        place.fail("id " + std::to_string(token.id) + " of \"" + token.content +
                   "\" belongs to \"" + *owner + "\" in the vocabulary");
    }
    for (const AddedToken& other : tokens_) {
        if (other.id == token.id || other.content == token.content) {
            place.fail("token \"" + token.content + "\" with id " + std::to_string(token.id) +
                       " repeats the id or the content of an earlier one");
        }
    }
    id_limit_ = std::max(id_limit_, std::size_t{token.id} + 1);
    tokens_.push_back(std::move(token));
}

std::vector<TextPart> AddedTokens::cut_raw(std::string_view text) const {
    return raw_->cut(text);
}

std::vector<TextPart> AddedTokens::cut_normalized(std::string_view text) const {
    return normalized_->cut(text);
}

const AddedToken* AddedTokens::find(std::uint32_t id) const {
    const auto entry = index_of_id_.find(id);
    return entry == index_of_id_.end() ? nullptr : &tokens_[entry->second];
}

}  // namespace lathe::tokenizer
