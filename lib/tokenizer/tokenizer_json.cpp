#include "lib/tokenizer/tokenizer_json.hpp"

#include <algorithm>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/utf8.hpp"
#include "lib/tokenizer/added_tokens.hpp"
#include "lib/tokenizer/decoder.hpp"
#include "lib/tokenizer/normalizer.hpp"
#include "lib/tokenizer/post_processor.hpp"
#include "lib/tokenizer/pre_tokenizer.hpp"
#include "lib/tokenizer/token_model.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

using Ids = std::vector<std::uint32_t>;

const nlohmann::json null_value;

/// Component `key`; absent is the same as null.
JsonPlace component(const JsonPlace& root, const std::string& file, const char* key) {
    if (const auto place = root.find(key)) return *place;
    return {null_value, file, key};
}

class JsonTokenizer final : public Tokenizer {
public:
    JsonTokenizer(const JsonPlace& root, const std::string& file,
                  SpecialTokensInText special_in_text)
        : normalizer_(read_normalizer(component(root, file, "normalizer"))),
          pre_tokenizer_(read_pre_tokenizer(component(root, file, "pre_tokenizer"))),
          model_(read_token_model(root.at("model"))),
          added_tokens_(root.at("added_tokens"), model_->vocabulary(), *normalizer_,
                        special_in_text),
          post_processor_(read_post_processor(component(root, file, "post_processor"))),
          decoder_(read_decoder(component(root, file, "decoder"))) {}

    std::string decode(std::span<const std::uint32_t> ids) const override {
        std::vector<std::string> tokens;
        tokens.reserve(ids.size());
        for (const std::uint32_t id : ids) {
            const AddedToken* added = added_tokens_.find(id);
            if (added != nullptr && added->special) continue;
            const std::string* token =
                added != nullptr ? &added->text : model_->vocabulary().token_of(id);
            // Vocabularies have gaps, and embeddings more rows than there are tokens.
            if (token != nullptr) tokens.push_back(*token);
        }
        decoder_->apply(tokens);
        std::string text;
        for (const std::string& token : tokens) text += token;
        return text;
    }

    std::size_t id_limit() const override {
        return std::max({model_->vocabulary().id_limit(), added_tokens_.id_limit(),
                         post_processor_.single.id_limit(), post_processor_.pair.id_limit()});
    }

private:
    Ids do_encode(std::string_view text) const override {
        const std::string valid = repair_utf8(text);
        Ids ids;
        WordCache cache;
        for (const TextPart& part : added_tokens_.cut_raw(valid)) {
            if (part.id) {
                ids.push_back(*part.id);
            } else {
                encode_section({valid.substr(part.begin, part.end - part.begin), part.begin == 0},
                               cache, ids);
            }
        }
        return ids;
    }

    const PostProcessor& post_processor() const override { return post_processor_; }

    /// Encodes what lies between two added tokens that are found before normalisation.
    void encode_section(Section section, WordCache& cache, Ids& ids) const {
        normalizer_->apply(section);
        for (const TextPart& part : added_tokens_.cut_normalized(section.text)) {
            if (part.id) {
                ids.push_back(*part.id);
                continue;
            }
            const std::size_t size = part.end - part.begin;
            PreTokenizedText words{section.text.substr(part.begin, size),
                                   {{0, size}},
                                   section.at_start && part.begin == 0};
            pre_tokenizer_->apply(words);
            model_->tokenize(words, cache, ids);
        }
    }

    std::unique_ptr<Normalizer> normalizer_;
    std::unique_ptr<PreTokenizer> pre_tokenizer_;
    std::unique_ptr<TokenModel> model_;
    AddedTokens added_tokens_;
    PostProcessor post_processor_;
    std::unique_ptr<Decoder> decoder_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(const DocumentSource& source) {
    return std::make_unique<JsonTokenizer>(JsonPlace(source.root, source.where), source.where,
                                           source.special_in_text);
}

std::unique_ptr<Tokenizer> load_json_tokenizer(const std::filesystem::path& file) {
    const std::string name = file.string();
    return make_tokenizer({parse_json(read_file(file), name), name});
}

}  // namespace lathe::tokenizer
