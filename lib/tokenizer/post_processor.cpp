#include "lib/tokenizer/post_processor.hpp"

#include <utility>

#include "lib/tokenizer/component_table.hpp"

namespace lathe::tokenizer {
namespace {

using Result = std::unique_ptr<PostProcessor>;
using Ids = std::vector<std::uint32_t>;

/// Fixed ids before and behind the text: what every template for a single text comes to.
class Surround final : public PostProcessor {
public:
    Surround(Ids before, Ids behind) : before_(std::move(before)), behind_(std::move(behind)) {}
    void apply(Ids& ids) const override {
        ids.insert(ids.begin(), before_.begin(), before_.end());
        ids.insert(ids.end(), behind_.begin(), behind_.end());
    }

private:
    Ids before_;
    Ids behind_;
};

class PostProcessorSequence final : public PostProcessor {
public:
    explicit PostProcessorSequence(std::vector<Result> steps) : steps_(std::move(steps)) {}
    void apply(Ids& ids) const override {
        for (const Result& step : steps_) step->apply(ids);
    }

private:
    std::vector<Result> steps_;
};

/// The ids that special token `name` of a template stands for.
void append_template_ids(const JsonPlace& special_tokens, const JsonPlace& name, Ids& ids) {
    const auto token = special_tokens.find(name.string());
    if (!token) name.fail("\"" + name.string() + "\" is not among the special_tokens");
    for (const JsonPlace& id : token->at("ids").items()) ids.push_back(id.integer());
}

Result read_template(const JsonPlace& place) {
    Ids before;
    Ids behind;
    bool text_seen = false;
    for (const JsonPlace& piece : place.at("single").items()) {
        if (const auto sequence = piece.find("Sequence")) {
            const std::string& id = sequence->at("id").string();
            if (id != "A" || text_seen) {
                sequence->fail("sequence \"" + id + "\"; expected \"A\", and only once");
            }
            text_seen = true;
        } else {
            append_template_ids(place.at("special_tokens"), piece.at("SpecialToken").at("id"),
                                text_seen ? behind : before);
        }
    }
    if (!text_seen) place.at("single").fail("the template leaves out the text itself");
    return std::make_unique<Surround>(std::move(before), std::move(behind));
}

/// ["token", id]
std::uint32_t read_token_pair(const JsonPlace& place) {
    const std::vector<JsonPlace> pair = place.items();
    if (pair.size() != 2) place.fail("expected [token, id]");
    return pair[1].integer();
}

Result read_cls_sep(const JsonPlace& place) {
    return std::make_unique<Surround>(Ids{read_token_pair(place.at("cls"))},
                                      Ids{read_token_pair(place.at("sep"))});
}

Result read_byte_level(const JsonPlace& /*place*/) {
    // It corrects positions in the text, which we do not report.
    return std::make_unique<Surround>(Ids{}, Ids{});
}

Result read_sequence(const JsonPlace& place) {
    std::vector<Result> steps;
    for (const JsonPlace& item : place.at("processors").items()) {
        steps.push_back(read_post_processor(item));
    }
    return std::make_unique<PostProcessorSequence>(std::move(steps));
}

constexpr ComponentKind<PostProcessor> kinds[] = {
    {"BertProcessing", read_cls_sep},      {"ByteLevel", read_byte_level},
    {"RobertaProcessing", read_cls_sep},   {"Sequence", read_sequence},
    {"TemplateProcessing", read_template},
};

}  // namespace

Result read_post_processor(const JsonPlace& place) {
    if (place.is_null()) return std::make_unique<PostProcessorSequence>(std::vector<Result>{});
    return read_component<PostProcessor>(place, "post_processor", kinds);
}

}  // namespace lathe::tokenizer
