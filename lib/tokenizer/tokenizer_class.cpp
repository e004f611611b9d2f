#include "lib/tokenizer/tokenizer_class.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "lib/core/file.hpp"

namespace lathe::tokenizer {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view generic_name = "TokenizersBackend";

// Names with and without "Fast" mean the same. Some are other names of one class.
constexpr std::array known_classes = {
    std::pair{"BartTokenizer"sv, ClassKind::roberta},
    std::pair{"BertTokenizer"sv, ClassKind::bert},
    std::pair{"CodeGenTokenizer"sv, ClassKind::codegen},
    std::pair{"CodeLlamaTokenizer"sv, ClassKind::code_llama},
    std::pair{"ConvBertTokenizer"sv, ClassKind::bert},
    std::pair{"DPRContextEncoderTokenizer"sv, ClassKind::bert},
    std::pair{"DPRQuestionEncoderTokenizer"sv, ClassKind::bert},
    std::pair{"DistilBertTokenizer"sv, ClassKind::bert},
    std::pair{"ElectraTokenizer"sv, ClassKind::bert},
    std::pair{"GPT2Tokenizer"sv, ClassKind::gpt2},
    std::pair{"GPTNeoXTokenizer"sv, ClassKind::gpt_neox},
    std::pair{"LEDTokenizer"sv, ClassKind::roberta},
    std::pair{"LayoutLMTokenizer"sv, ClassKind::bert},
    std::pair{"LlamaTokenizer"sv, ClassKind::llama},
    std::pair{"LongformerTokenizer"sv, ClassKind::roberta},
    std::pair{"LxmertTokenizer"sv, ClassKind::bert},
    std::pair{"MobileBertTokenizer"sv, ClassKind::bert},
    std::pair{"MvpTokenizer"sv, ClassKind::roberta},
    std::pair{"Qwen2Tokenizer"sv, ClassKind::qwen2},
    std::pair{"RobertaTokenizer"sv, ClassKind::roberta},
    std::pair{"SqueezeBertTokenizer"sv, ClassKind::bert},
    std::pair{"T5Tokenizer"sv, ClassKind::t5},
};

// Classes of transformers that do something of their own with a vocabulary. All other names,
// "PreTrainedTokenizerFast" among them, stand for the generic one.
constexpr std::array other_classes = {
    "AlbertTokenizer"sv,
    "BarthezTokenizer"sv,
    "BartphoTokenizer"sv,
    "BertGenerationTokenizer"sv,
    "BertJapaneseTokenizer"sv,
    "BertweetTokenizer"sv,
    "BigBirdTokenizer"sv,
    "BioGptTokenizer"sv,
    "BlenderbotSmallTokenizer"sv,
    "BlenderbotTokenizer"sv,
    "ByT5Tokenizer"sv,
    "CLIPTokenizer"sv,
    "CTRLTokenizer"sv,
    "CamembertTokenizer"sv,
    "CanineTokenizer"sv,
    "CohereTokenizer"sv,
    "CpmAntTokenizer"sv,
    "CpmTokenizer"sv,
    "DebertaTokenizer"sv,
    "DebertaV2Tokenizer"sv,
    "EsmTokenizer"sv,
    "FunnelTokenizer"sv,
    "GPTNeoXJapaneseTokenizer"sv,
    "GPTSw3Tokenizer"sv,
    "GemmaTokenizer"sv,
    "HerbertTokenizer"sv,
    "LukeTokenizer"sv,
    "M2M100Tokenizer"sv,
    "MBart50Tokenizer"sv,
    "MBartTokenizer"sv,
    "MPNetTokenizer"sv,
    "MarianTokenizer"sv,
    "NllbTokenizer"sv,
    "OpenAIGPTTokenizer"sv,
    "PegasusTokenizer"sv,
    "PhobertTokenizer"sv,
    "ProphetNetTokenizer"sv,
    "Qwen3_5Tokenizer"sv,
    "RemBertTokenizer"sv,
    "RoCBertTokenizer"sv,
    "RoFormerTokenizer"sv,
    "SplinterTokenizer"sv,
    "WhisperTokenizer"sv,
    "XGLMTokenizer"sv,
    "XLMRobertaTokenizer"sv,
    "XLMTokenizer"sv,
    "XLNetTokenizer"sv,
};

// What the kinds of models that Lathe knows are registered with. Llama and BLOOM have nothing.
constexpr std::array registered_classes = {
    std::pair{"bert"sv, "BertTokenizer"sv},       std::pair{"distilbert"sv, "BertTokenizer"sv},
    std::pair{"gpt2"sv, "GPT2Tokenizer"sv},       std::pair{"gpt_neox"sv, "GPTNeoXTokenizer"sv},
    std::pair{"mistral"sv, generic_name},         std::pair{"opt"sv, "GPT2Tokenizer"sv},
    std::pair{"phi"sv, "GPT2Tokenizer"sv},        std::pair{"phi3"sv, generic_name},
    std::pair{"qwen2"sv, "Qwen2Tokenizer"sv},     std::pair{"qwen3"sv, "Qwen2Tokenizer"sv},
    std::pair{"roberta"sv, "RobertaTokenizer"sv},
};

std::string_view without_fast(std::string_view name) {
    constexpr std::string_view suffix = "Fast";
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
    return name;
}

TokenizerClass class_of(std::string_view name) {
    const std::string_view plain = without_fast(name);
    for (const auto& [known, kind] : known_classes) {
        if (known == plain) return {kind, std::string(known)};
    }
    if (std::ranges::find(other_classes, plain) != other_classes.end()) {
        return {ClassKind::unknown, std::string(plain)};
    }
    return {ClassKind::generic, std::string(generic_name)};
}

std::string text_of(const JsonFile& file, const char* key) {
    if (!file.value.is_object()) return "";
    const auto member = file.value.find(key);
    return member != file.value.end() && member->is_string() ? member->get<std::string>() : "";
}

std::string_view registered_for(std::string_view model_type) {
    for (const auto& [type, name] : registered_classes) {
        if (type == model_type) return name;
    }
    return "";
}

/// Whether the class that the files of this kind of model name is known to be wrong.
bool has_wrong_class(std::string_view model_type) {
    return model_type == "phi3" || model_type == "qwen2";
}

bool is_byte_level(const TokenizerFiles& files) {
    return files.tokenizer.value.is_object() &&
           read_file(files.tokenizer.where).find("\"ByteLevel\"") != std::string::npos;
}

}  // namespace

TokenizerClass choose_tokenizer_class(const TokenizerFiles& files) {
    const TokenizerClass generic{ClassKind::generic, std::string(generic_name)};
    const std::string model_type = text_of(files.config, "model_type");
    const std::string_view registered = registered_for(model_type);
    std::string declared = text_of(files.tokenizer_config, "tokenizer_class");
    if (declared.empty()) declared = text_of(files.config, "tokenizer_class");
    if (declared.empty()) return registered.empty() ? generic : class_of(registered);

    // Llama 3 and its kin: the class would put Metaspace in place of what the file has.
    if (without_fast(declared) == "LlamaTokenizer" && registered != generic_name &&
        !has_wrong_class(model_type) && is_byte_level(files)) {
        return generic;
    }
    if (registered.empty() || registered == without_fast(declared)) return class_of(declared);
    if (registered == generic_name) return generic;
    return class_of(has_wrong_class(model_type) ? registered : declared);
}

}  // namespace lathe::tokenizer
