#include "lib/tokenizer/added_tokens.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/core/log.hpp"
#include "lib/core/utf8.hpp"
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
    append_utf8(text, code_point);
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
    void add(std::string_view text, const AddedToken& token) {
        if (text.empty()) return;
        std::size_t node = 0;
        for (const char byte : text) node = child_or_new(node, byte);
        if (nodes_[node].token == nullptr) nodes_[node].token = &token;
        starts_[static_cast<unsigned char>(text.front())] = true;
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
                         const Normalizer& normalizer, SpecialTokensInText in_text)
    : raw_(std::make_unique<Finder>()), normalized_(std::make_unique<Finder>()) {
    AddedTokenIds ids(vocabulary);
    for (const JsonPlace& item : place.items()) add(item, vocabulary, ids);
    for (const auto& [id, declared] : ids.by_id()) {
        AddedToken& token = tokens_[id];
        static_cast<TokenDeclaration&>(token) = declared;
        token.id = id;
        id_limit_ = std::max(id_limit_, std::size_t{id} + 1);
    }
    // From here on tokens_ does not move.
    const auto text_of = [&](const TokenDeclaration& token) {
        Section section{token.content, true};
        if (token.normalized) normalizer.apply(section);
        return section.text;
    };
    for (auto& [id, token] : tokens_) {
        token.text = text_of(token);
        token.special = ids.is_special(token.text);
    }
    for (const TokenDeclaration& token : ids.in_search_order()) {
        if (in_text == SpecialTokensInText::plain_text && ids.is_special(token.content)) continue;
        (token.normalized ? normalized_ : raw_)
            ->add(text_of(token), tokens_.at(*ids.id_of(token.content)));
    }
}

AddedTokens::~AddedTokens() = default;

void AddedTokens::add(const JsonPlace& place, const Vocabulary& vocabulary, AddedTokenIds& ids) {
    const TokenDeclaration token = read_token_declaration(place);
    const auto stated = place.find("id");
    if (stated && stated->integer() >= Vocabulary::id_bound) {
        place.fail("id " + std::to_string(stated->integer()) + " is too large");
    }
    const std::string in_quotes = "\"" + token.content + "\"";
    const std::optional<std::uint32_t> known = vocabulary.id_of(token.content);
    if (stated && known && *known != stated->integer()) {
        place.fail("token " + in_quotes + " has id " + std::to_string(stated->integer()) +
                   " here and " + std::to_string(*known) + " in the vocabulary");
    }
    const std::optional<std::uint32_t> id = ids.add(token);
    if (!id) return;
    const std::string* owner = known ? nullptr : vocabulary.token_of(*id);
    if (owner != nullptr) {
        place.fail("token " + in_quotes + " gets id " + std::to_string(*id) + ", the " +
                   std::to_string(vocabulary.size()) +
                   " tokens of the vocabulary being counted, but that is the id of \"" + *owner +
                   "\"");
    }
    if (stated && stated->integer() != *id) {
        log_warning("added_token_id " + place.path() + " token=" + in_quotes +
                    " stated=" + std::to_string(stated->integer()) +
                    " used=" + std::to_string(*id) + " (ids follow one another)");
    }
}

std::vector<TextPart> AddedTokens::cut_raw(std::string_view text) const {
    return raw_->cut(text);
}

std::vector<TextPart> AddedTokens::cut_normalized(std::string_view text) const {
    return normalized_->cut(text);
}

const AddedToken* AddedTokens::find(std::uint32_t id) const {
    const auto entry = tokens_.find(id);
    return entry == tokens_.end() ? nullptr : &entry->second;
}

}  // namespace lathe::tokenizer
