#include "lib/tokenizer/checkpoint_tokenizer.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "lib/tokenizer/class_recipes.hpp"
#include "lib/tokenizer/sentencepiece_conversion.hpp"
#include "lib/tokenizer/slow_vocabulary.hpp"
#include "lib/tokenizer/tokenizer_class.hpp"
#include "lib/tokenizer/tokenizer_settings.hpp"

namespace lathe::tokenizer {
namespace {

using nlohmann::json;

/// Files of other programs, or of classes that Lathe does not know.
constexpr std::array<std::string_view, 5> other_vocabularies = {
    "tekken.json", "tiktoken.model", "spm.model", "sentencepiece.bpe.model", "qwen.tiktoken"};

constexpr const char* convert_hint =
    "; make a tokenizer.json of it: python3 -c \"from transformers import AutoTokenizer as T; "
    "T.from_pretrained('DIR').save_pretrained('DIR')\"";

/// A document being made and what its class wants besides the settings.
struct Draft {
    json root;
    std::string where;  ///< the file with the vocabulary
    std::vector<DefaultToken> defaults;
    std::optional<TokenizerSettings::Tokens> extra;  ///< of a SentencePiece model
    bool match_raw = false;  ///< added tokens are looked for in the text as it came
    std::shared_ptr<const SentencePieceModel> model;  ///< owns the texts of `defaults`
};

[[noreturn]] void refuse_vocabulary(const TokenizerFiles& files, const TokenizerClass& chosen) {
    const std::string directory = files.directory.string();
    for (const std::string_view name : other_vocabularies) {
        if (files.has(name)) {
            throw DataError(directory + ": the tokenizer is in " + std::string(name) +
                            ", which is not supported" + convert_hint);
        }
    }
    std::string found;
    for (const std::string_view name : vocabulary_file_names()) {
        if (files.has(name)) found += (found.empty() ? "" : ", ") + std::string(name);
    }
    if (found.empty()) {
        throw MissingInputError(directory +
                                ": found no tokenizer.json, tokenizer.model, vocab.json with "
                                "merges.txt, or vocab.txt");
    }
    throw DataError(directory + ": found " + found + ", of which the tokenizer class " +
                    chosen.name + " makes nothing here; expected a tokenizer.json" + convert_hint);
}

/// The part of a tokenizer.json's normalizer that a class of Unigram keeps.
json character_map_of(const json& tokenizer) {
    const json normalizer = tokenizer.value("normalizer", json());
    if (!normalizer.is_object()) return nullptr;
    const json steps =
        normalizer.contains("normalizers") ? normalizer["normalizers"] : json::array({normalizer});
    for (const json& step : steps) {
        if (step.is_object() && step.value("type", json()) == "Precompiled") return step;
    }
    return nullptr;
}

/// The sentinels of T5, behind the other tokens without a name. Those of a SentencePiece model are
/// in the vocabulary too, the last one first.
void add_sentinels(Draft& draft, const TokenizerSettings& settings, bool in_vocabulary) {
    const std::size_t n_all = settings.count("extra_ids", 100);
    for (std::size_t i = n_all; in_vocabulary && i-- > 0;) {
        draft.root["model"]["vocab"].push_back({"<extra_id_" + std::to_string(i) + ">", 0.0});
    }
    std::vector<TokenDeclaration> tokens =
        draft.extra.value_or(settings.extra_tokens().value_or(TokenizerSettings::Tokens{}));
    const bool has_some = std::ranges::any_of(tokens, [](const TokenDeclaration& token) {
        return token.content.find("<extra_id_") != std::string::npos;
    });
    for (std::size_t i = 0; !has_some && i < n_all; ++i) {
        tokens.push_back(special_token("<extra_id_" + std::to_string(i) + ">"));
    }
    draft.extra = std::move(tokens);
}

bool reads_vocab_json(ClassKind kind) {
    return kind != ClassKind::llama && kind != ClassKind::code_llama;
}

/// {"vocab": ...} and what belongs to it, for a class that makes the rest itself.
json vocabulary_for(const ClassRecipe& recipe, const TokenizerFiles& files,
                    const TokenizerClass& chosen, Draft& draft) {
    if (files.tokenizer.value.is_object()) {
        draft.where = files.tokenizer.where;
        const JsonPlace model = JsonPlace(files.tokenizer.value, draft.where).at("model");
        const std::string type = model.string_or("type", recipe.model_type);
        const bool is_list = model.at("vocab").is_list();
        if (type != recipe.model_type || is_list != (recipe.model_type == "Unigram")) {
            model.fail("a model of type " + type + ", but the tokenizer class " + chosen.name +
                       " (tokenizer_config.json, config.json or the kind of model) makes a " +
                       std::string(recipe.model_type) +
                       "; to take the file as it stands, set \"tokenizer_class\" to "
                       "\"PreTrainedTokenizerFast\" in tokenizer_config.json");
        }
        json parts{{"vocab", model.at("vocab").value()}};
        if (const auto merges = model.find("merges")) parts["merges"] = merges->value();
        draft.root["normalizer"] = character_map_of(files.tokenizer.value);
        return parts;
    }
    if (recipe.model_type == "Unigram") {
        draft.where = (files.directory / "spiece.model").string();
        if (files.has("spiece.model")) {
            const SentencePieceModel model = read_sentencepiece_model(draft.where);
            draft.extra = added_pieces(model, true);
            draft.root["normalizer"] = character_normalizer(model);
            return scored_pieces(model);
        }
    } else if (recipe.model_type == "WordPiece") {
        draft.where = (files.directory / "vocab.txt").string();
        if (files.has("vocab.txt")) return read_vocab_lines(draft.where);
    } else if (files.has("tokenizer.model")) {
        draft.where = (files.directory / "tokenizer.model").string();
        const SentencePieceModel model = read_sentencepiece_model(draft.where);
        draft.extra = added_pieces(model, true);
        return bpe_of_pieces(model);
    } else if (reads_vocab_json(chosen.kind) && files.has("vocab.json") &&
               files.has("merges.txt")) {
        draft.where = (files.directory / "vocab.json").string();
        return read_vocab_and_merges(draft.where, files.directory / "merges.txt");
    }
    refuse_vocabulary(files, chosen);
}

Draft draft_by_recipe(const ClassRecipe& recipe, const TokenizerFiles& files,
                      const TokenizerClass& chosen, const TokenizerSettings& settings) {
    Draft draft;
    draft.root["model"] = vocabulary_for(recipe, files, chosen, draft);
    if (recipe.model_type == "BPE" && !draft.root["model"].contains("merges")) {
        draft.root["model"]["merges"] = json::array();
    }
    recipe.build(draft.root, settings);
    if (chosen.kind == ClassKind::t5) {
        add_sentinels(draft, settings, !files.tokenizer.value.is_object());
    }
    if (files.tokenizer.value.is_object()) {
        draft.root["post_processor"] = files.tokenizer.value.value("post_processor", json());
    }
    draft.defaults.assign(recipe.defaults.begin(), recipe.defaults.end());
    return draft;
}

Draft draft_of_model(const std::filesystem::path& file, const TokenizerSettings& settings) {
    Draft draft;
    draft.where = file.string();
    draft.model = std::make_shared<const SentencePieceModel>(read_sentencepiece_model(file));
    const SentencePieceModel& model = *draft.model;
    draft.root = convert_sentencepiece(model, settings);
    draft.extra = added_pieces(model, false);
    draft.match_raw = model.add_dummy_prefix;
    if (model.bos_id >= 0) draft.defaults.push_back({"bos_token", model.bos_piece});
    if (model.eos_id >= 0) draft.defaults.push_back({"eos_token", model.eos_piece});
    if (model.unknown_id >= 0) draft.defaults.push_back({"unk_token", model.unknown_piece});
    return draft;
}

Draft draft_generic(const TokenizerFiles& files, const TokenizerClass& chosen,
                    const TokenizerSettings& settings) {
    if (files.tokenizer.value.is_object()) {
        Draft draft;
        draft.where = files.tokenizer.where;
        draft.root = files.tokenizer.value;
        return draft;
    }
    if (chosen.kind == ClassKind::unknown || !files.has("tokenizer.model")) {
        refuse_vocabulary(files, chosen);
    }
    return draft_of_model(files.directory / "tokenizer.model", settings);
}

/// The tokens of all files, each once: added ones by their ids, named special ones, others.
void add_tokens(TokenizerDocument& document, const Draft& draft,
                const TokenizerSettings& settings) {
    const std::vector<TokenDeclaration> named = settings.named_tokens(draft.defaults);
    for (const auto& [id, declared] : settings.added_tokens()) {
        TokenDeclaration token = declared;
        token.normalized = token.normalized && !draft.match_raw;
        const auto same = std::ranges::find(named, token.content, &TokenDeclaration::content);
        token.special = token.special || same != named.end();
        document.add(token);
    }
    // Of tokens with one content in different roles the last one's switches count.
    std::vector<TokenDeclaration> missing;
    const auto add_missing = [&](const std::vector<TokenDeclaration>& tokens) {
        std::ranges::copy_if(tokens, std::back_inserter(missing),
                             [&](const auto& token) { return !document.has_added(token.content); });
    };
    add_missing(named);
    const auto extra =
        settings.strong_extra_tokens() || !draft.extra ? settings.extra_tokens() : draft.extra;
    if (extra) add_missing(*extra);
    for (const TokenDeclaration& token : missing) document.add(token);
}

/// What stands around a text: as the switches say, where there are any.
void put_around(TokenizerDocument& document, const Draft& draft, const TokenizerSettings& settings,
                std::optional<bool> adds_bos) {
    const auto is_said_of = [&](const char* key) {
        return settings.has(key) || settings.is_null(key);
    };
    const bool is_said = adds_bos || is_said_of("add_bos_token") || is_said_of("add_eos_token");
    if (!is_said && document.has_post_processor()) return;
    const auto token = [&](bool wanted, const char* name) {
        return wanted ? settings.named_token(name, draft.defaults) : std::nullopt;
    };
    document.put_around_texts(
        token(settings.flag("add_bos_token",
                            adds_bos.value_or(false) && !settings.is_null("add_bos_token")),
              "bos_token"),
        token(settings.flag("add_eos_token", false), "eos_token"));
}

DocumentSource finished(Draft draft, const ClassRecipe* recipe, const TokenizerSettings& settings) {
    TokenizerDocument document(std::move(draft.root), draft.where);
    add_tokens(document, draft, settings);
    put_around(document, draft, settings, recipe != nullptr ? recipe->adds_bos : std::nullopt);
    if (recipe != nullptr && recipe->finish != nullptr) recipe->finish(document, settings);
    return {document.root(), draft.where,
            settings.flag("split_special_tokens", false) ? SpecialTokensInText::plain_text
                                                         : SpecialTokensInText::found};
}

Draft draft_tokenizer(const TokenizerFiles& files, const TokenizerClass& chosen,
                      const TokenizerSettings& settings) {
    const ClassRecipe* recipe = find_recipe(chosen.kind);
    return recipe != nullptr ? draft_by_recipe(*recipe, files, chosen, settings)
                             : draft_generic(files, chosen, settings);
}

}  // namespace

DocumentSource combine_tokenizer_files(const TokenizerFiles& files) {
    const TokenizerClass chosen = choose_tokenizer_class(files);
    const TokenizerSettings settings(files);
    if (chosen.kind == ClassKind::unknown && files.tokenizer.value.is_object()) {
        log_warning("tokenizer_class " + chosen.name +
                    " is not known here; tokenizer.json is taken as it stands");
    }
    return finished(draft_tokenizer(files, chosen, settings), find_recipe(chosen.kind), settings);
}

std::map<std::string, std::string> named_tokens_of(const TokenizerFiles& files) {
    const TokenizerSettings settings(files);
    const Draft draft = draft_tokenizer(files, choose_tokenizer_class(files), settings);
    std::map<std::string, std::string> tokens;
    for (const auto& [name, token] : settings.tokens_by_name(draft.defaults)) {
        tokens.emplace(name, token.content);
    }
    return tokens;
}

DocumentSource document_of_sentencepiece(const std::filesystem::path& file) {
    const TokenizerSettings settings(TokenizerFiles{});
    return finished(draft_of_model(file, settings), nullptr, settings);
}

}  // namespace lathe::tokenizer
