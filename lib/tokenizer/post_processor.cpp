#include "lib/tokenizer/post_processor.hpp"

#include <algorithm>
#include <utility>

#include "lib/tokenizer/component_table.hpp"

namespace lathe::tokenizer {
namespace {

using Kind = TokenTemplate::Kind;
using Piece = TokenTemplate::Piece;
using Pieces = std::vector<Piece>;
using Result = std::unique_ptr<PostProcessor>;

std::uint32_t segment_of(const JsonPlace& piece) {
    const auto segment = piece.find("type_id");
    return segment ? segment->integer() : 0;
}

/// The ids that a special token of a template stands for.
void append_special(const JsonPlace& special_tokens, const JsonPlace& piece, Pieces& pieces) {
    const JsonPlace name = piece.at("id");
    const auto token = special_tokens.find(name.string());
    if (!token) name.fail("\"" + name.string() + "\" is not among the special_tokens");
    for (const JsonPlace& id : token->at("ids").items()) {
        pieces.push_back({Kind::special_token, segment_of(piece), id.integer()});
    }
}

bool has(const Pieces& pieces, Kind kind) {
    return std::ranges::find(pieces, kind, &Piece::kind) != pieces.end();
}

/// `is_pair`: of the texts A and B, else of A alone.
TokenTemplate read_pieces(const JsonPlace& list, const JsonPlace& special_tokens, bool is_pair) {
    Pieces pieces;
    for (const JsonPlace& item : list.items()) {
        const auto sequence = item.find("Sequence");
        if (!sequence) {
            append_special(special_tokens, item.at("SpecialToken"), pieces);
            continue;
        }
        const std::string& id = sequence->at("id").string();
        const Kind kind = id == "A" ? Kind::first_text : Kind::second_text;
        const bool is_known = id == "A" || (is_pair && id == "B");
        if (!is_known || has(pieces, kind)) {
            sequence->fail("sequence \"" + id + "\"; expected \"A\"" +
                           (is_pair ? " and \"B\", each only once" : ", and only once"));
        }
        pieces.push_back({kind, segment_of(*sequence)});
    }
    if (!has(pieces, Kind::first_text) || (is_pair && !has(pieces, Kind::second_text))) {
        list.fail(is_pair ? "the template leaves out one of the texts"
                          : "the template leaves out the text itself");
    }
    return TokenTemplate(std::move(pieces));
}

Result read_template(const JsonPlace& place) {
    const JsonPlace special_tokens = place.at("special_tokens");
    const auto pair = place.find("pair");
    return std::make_unique<PostProcessor>(
        PostProcessor{read_pieces(place.at("single"), special_tokens, false),
                      pair ? read_pieces(*pair, special_tokens, true) : texts_alone().pair});
}

/// ["token", id]
std::uint32_t read_token_pair(const JsonPlace& place) {
    const std::vector<JsonPlace> pair = place.items();
    if (pair.size() != 2) place.fail("expected [token, id]");
    return pair[1].integer();
}

/// [CLS] A [SEP], and for a pair this many more [SEP], B [SEP].
Result read_cls_sep(const JsonPlace& place, std::size_t more_separators,
                    std::uint32_t second_segment) {
    const std::uint32_t cls = read_token_pair(place.at("cls"));
    const std::uint32_t sep = read_token_pair(place.at("sep"));
    const Pieces single{
        {Kind::special_token, 0, cls}, {Kind::first_text, 0}, {Kind::special_token, 0, sep}};
    Pieces pair = single;
    pair.insert(pair.end(), more_separators, {Kind::special_token, second_segment, sep});
    pair.push_back({Kind::second_text, second_segment});
    pair.push_back({Kind::special_token, second_segment, sep});
    return std::make_unique<PostProcessor>(
        PostProcessor{TokenTemplate(single), TokenTemplate(std::move(pair))});
}

Result read_bert(const JsonPlace& place) {
    return read_cls_sep(place, 0, 1);
}

Result read_roberta(const JsonPlace& place) {
    return read_cls_sep(place, 1, 0);
}

Result read_byte_level(const JsonPlace& /*place*/) {
    // It corrects positions in the text, which we do not report.
    return std::make_unique<PostProcessor>(texts_alone());
}

/// One step besides ByteLevel: the original library cannot apply two templates either.
Result read_sequence(const JsonPlace& place) {
    Result only;
    for (const JsonPlace& item : place.at("processors").items()) {
        if (item.at("type").string() == "ByteLevel") continue;
        if (only) item.fail("a second processor; expected one at most besides ByteLevel");
        only = std::make_unique<PostProcessor>(read_post_processor(item));
    }
    return only ? std::move(only) : std::make_unique<PostProcessor>(texts_alone());
}

constexpr ComponentKind<PostProcessor> kinds[] = {
    {"BertProcessing", read_bert},         {"ByteLevel", read_byte_level},
    {"RobertaProcessing", read_roberta},   {"Sequence", read_sequence},
    {"TemplateProcessing", read_template},
};

}  // namespace

std::size_t TokenTemplate::n_special() const {
    return static_cast<std::size_t>(std::ranges::count(pieces_, Kind::special_token, &Piece::kind));
}

std::size_t TokenTemplate::id_limit() const {
    std::size_t limit = 0;
    for (const Piece& piece : pieces_) {
        if (piece.kind == Kind::special_token) limit = std::max(limit, std::size_t{piece.id} + 1);
    }
    return limit;
}

EncodedText TokenTemplate::apply(std::span<const std::uint32_t> first,
                                 std::span<const std::uint32_t> second) const {
    EncodedText result;
    for (const Piece& piece : pieces_) {
        const std::span<const std::uint32_t> ids = piece.kind == Kind::special_token
                                                       ? std::span(&piece.id, 1)
                                                   : piece.kind == Kind::first_text ? first
                                                                                    : second;
        result.ids.insert(result.ids.end(), ids.begin(), ids.end());
        result.segments.insert(result.segments.end(), ids.size(), piece.segment);
    }
    return result;
}

PostProcessor read_post_processor(const JsonPlace& place) {
    if (place.is_null()) return texts_alone();
    return std::move(*read_component<PostProcessor>(place, "post_processor", kinds));
}

PostProcessor texts_alone() {
    return {TokenTemplate({{Kind::first_text, 0}}),
            TokenTemplate({{Kind::first_text, 0}, {Kind::second_text, 1}})};
}

PostProcessor begin_each_text(std::uint32_t bos) {
    return {TokenTemplate({{Kind::special_token, 0, bos}, {Kind::first_text, 0}}),
            TokenTemplate({{Kind::special_token, 0, bos},
                           {Kind::first_text, 0},
                           {Kind::special_token, 1, bos},
                           {Kind::second_text, 1}})};
}

PairLengths cut_longest_first(std::size_t first, std::size_t second, std::size_t room) {
    if (first + second <= room) return {first, second};
    const std::size_t shorter = std::min(first, second);
    const std::size_t half = std::min(shorter, room / 2);
    return first > second ? PairLengths{room - half, half} : PairLengths{half, room - half};
}

}  // namespace lathe::tokenizer
