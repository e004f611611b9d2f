#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "lib/core/errors.hpp"
#include "lib/model/family.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/model/name_patterns.hpp"

namespace lathe {
namespace {

std::string quoted(std::string_view name) {
    constexpr std::size_t longest_shown = 200;
    const bool cut = name.size() > longest_shown;
    return "\"" + std::string(name.substr(0, longest_shown)) + (cut ? "...\"" : "\"");
}

using FoundByName = std::map<std::string_view, const FoundTensor*>;

FoundByName by_name(const std::vector<FoundTensor>& found, const std::string& where) {
    FoundByName index;
    for (const FoundTensor& tensor : found)
        if (!index.emplace(tensor.name, &tensor).second)
            throw DataError(where + ": tensor " + quoted(tensor.name) + " is there twice");
    return index;
}

/// What TensorFlow, and BERT checkpoints that came from it, call the parts of a LayerNorm.
std::string older_spelling(std::string_view name) {
    for (const auto& [now, then] :
         {std::pair<std::string_view, std::string_view>{"LayerNorm.weight", "LayerNorm.gamma"},
          {"LayerNorm.bias", "LayerNorm.beta"}})
        if (name.ends_with(now))
            return std::string(name.substr(0, name.size() - now.size())) + std::string(then);
    return std::string(name);
}

/// The tensor under its full name or, saved from the base model alone, without the prefix.
const FoundTensor* look_up(const FoundByName& index, std::string_view name,
                           std::string_view prefix) {
    const std::string older = older_spelling(name);
    for (const std::string_view spelling : {name, std::string_view(older)}) {
        auto entry = index.find(spelling);
        if (entry == index.end() && spelling.starts_with(prefix))
            entry = index.find(spelling.substr(prefix.size()));
        if (entry != index.end()) return entry->second;
    }
    return nullptr;
}

/// The tensor under any of its names. A head has two in some families; a tied one may be all that
/// is stored of the matrix it shares with the embedding.
const FoundTensor* look_up(const FoundByName& index, const TensorSpec& wanted,
                           const ModelSpec& spec, const FamilyRow& family) {
    if (const FoundTensor* found = look_up(index, wanted.name, family.prefix)) return found;
    const bool is_head =
        wanted.role == Role::lm_head || (wanted.role == Role::token_embedding && spec.tied_head);
    if (!is_head || wanted.is_bias) return nullptr;
    for (const std::string_view name : {family.head, family.other_head})
        if (const auto entry = index.find(name); entry != index.end()) return entry->second;
    return nullptr;
}

/// "q_proj bias of block 3".
std::string described(const TensorSpec& tensor) {
    std::string text{name(tensor.role)};
    if (tensor.is_bias) text += " bias";
    if (tensor.block) text += " of block " + std::to_string(*tensor.block);
    return text;
}

std::string and_others(std::size_t count) {
    return count > 1 ? " (and " + std::to_string(count - 1) + " more)" : "";
}

/// What quantisers store beside or instead of weights: GPTQ and AWQ, compressed-tensors, fp8,
/// bitsandbytes, HQQ, AQLM. Not all of them say so in config.json.
constexpr std::array<std::string_view, 12> quantised_endings{
    ".qweight", ".qzeros", ".scales",    ".weight_packed", ".weight_scale", ".weight_scale_inv",
    ".SCB",     ".absmax", ".quant_map", ".W_q",           ".codebooks",    ".weight_zero_point"};

std::string in_config(const ModelSpec& spec) {
    return spec.quantisation.empty() ? "" : "config.json has " + spec.quantisation + "; ";
}

void refuse_quantised(const ModelSpec& spec, const std::vector<FoundTensor>& found,
                      const NamePatterns& ignored, const std::string& where) {
    for (const FoundTensor& tensor : found) {
        const bool is_part = std::ranges::any_of(
            quantised_endings, [&](std::string_view end) { return tensor.name.ends_with(end); });
        if (is_part && !ignored.passes_over(tensor.name, spec))
            throw DataError(where + ": the checkpoint is already quantised (" + in_config(spec) +
                            "it has a tensor " + quoted(tensor.name) +
                            "); start from the original weights");
    }
}

/// Weights that are not those the model asks for. A quantisation that config.json speaks of may be
/// why, or be left over and have nothing to do with it.
[[noreturn]] void refuse(const ModelSpec& spec, const std::string& where,
                         const std::string& reason) {
    std::string message = where + ": " + reason;
    if (!spec.quantisation.empty())
        message += ". config.json has " + spec.quantisation +
                   ": if the weights are quantised, start from the original ones";
    throw DataError(message);
}

void check_tensor(const ModelSpec& spec, const TensorSpec& wanted, const FoundTensor& found,
                  const std::string& where) {
    const std::string tensor = "tensor " + quoted(found.name) + " (" + described(wanted) + ")";
    if (!spec.quantisation.empty() && !is_floating(found.dtype))
        throw DataError(where + ": the checkpoint is already quantised (" + in_config(spec) +
                        tensor + " has type " + std::string(name(found.dtype)) +
                        "); start from the original weights");
    if (found.shape != wanted.source_shape())
        refuse(spec, where,
               tensor + " has shape " + to_string(found.shape) + "; config.json asks for " +
                   to_string(wanted.source_shape()));
    if (!is_floating(found.dtype))
        refuse(spec, where,
               tensor + " has type " + std::string(name(found.dtype)) +
                   "; expected a floating type: bfloat16, float16, float32 or float64");
}

/// An adapter that was saved together with its base model.
void refuse_adapter(const FoundTensor& tensor, const std::string& where) {
    for (const std::string_view part : {".lora_A.", ".lora_B.", ".lora_embedding_", ".base_layer."})
        if (tensor.name.find(part) != std::string::npos)
            throw DataError(where + ": tensor " + quoted(tensor.name) +
                            " belongs to an adapter that is not merged; expected the merged model "
                            "(PEFT: merge_and_unload)");
}

bool has_name(const std::vector<FoundTensor>& found, std::string_view name) {
    return std::ranges::find(found, name, &FoundTensor::name) != found.end();
}

/// What may be meant where a tensor is missing; "" if nothing can be said.
std::string hint_on_missing(const TensorSpec& tensor, const std::vector<FoundTensor>& found,
                            const ModelSpec& spec, const FamilyRow& family) {
    constexpr auto tie = "\"tie_word_embeddings\": true";
    if (tensor.role == Role::lm_head && !tensor.is_bias)
        return std::string(
                   "; these weights have no head of their own: if it is the embedding, "
                   "config.json must say ") +
               tie;
    if (tensor.role == Role::token_embedding && spec.tied_head)
        return "; it is not there as the head either (" + std::string(family.head) + ")";
    for (const std::string_view head : {family.head, family.other_head})
        if (tensor.role == Role::token_embedding && has_name(found, head))
            return "; these weights have a head (" + std::string(head) +
                   ") and no embedding: if the two are one, config.json must say " + tie;
    if (tensor.is_bias && !family.bias_keys.empty())
        return "; config.json asks for it (" + std::string(family.bias_keys) + ")";
    return "";
}

[[noreturn]] void refuse_missing(const std::vector<const TensorSpec*>& missing,
                                 const std::vector<FoundTensor>& found, const ModelSpec& spec,
                                 const FamilyRow& family, const std::string& where) {
    const TensorSpec& first = *missing.front();
    refuse(spec, where,
           "tensor " + quoted(first.name) + " (" + described(first) + ", shape " +
               to_string(first.source_shape()) + ") is missing" + and_others(missing.size()) +
               hint_on_missing(first, found, spec, family));
}

[[noreturn]] void refuse_unclaimed(const FoundByName& unclaimed, const ModelSpec& spec,
                                   const FamilyRow& family, const std::string& where) {
    const FoundTensor& first = *unclaimed.begin()->second;
    refuse_adapter(first, where);
    const bool is_denied = first.name.ends_with(".bias") && !family.bias_keys.empty();
    refuse(spec, where,
           "tensor " + quoted(first.name) + " " + to_string(first.shape) +
               " belongs to no part of a " + spec.family + " model" + and_others(unclaimed.size()) +
               (is_denied
                    ? "; config.json asks for no such bias (" + std::string(family.bias_keys) + ")"
                    : std::string()) +
               "; what the key \"ignore\" or the option --ignore names is passed over");
}

/// "" if nothing says that the tensor may be left out.
std::string reason_to_pass_over(const FoundTensor& tensor, const ModelSpec& spec,
                                const FamilyRow& family, const NamePatterns& ignored) {
    if (ignored.passes_over(tensor.name, spec)) return "named under ignore";
    if (std::ranges::any_of(family.buffers,
                            [&](std::string_view end) { return tensor.name.ends_with(end); }))
        return "a buffer";
    if (spec.tied_head && (tensor.name == family.head || tensor.name == family.other_head))
        return "the head is the embedding";
    return "";
}

}  // namespace

std::vector<PassedOver> match_tensors(ModelSpec& spec, const std::vector<FoundTensor>& found,
                                      const std::vector<std::string>& ignore,
                                      const std::string& where) {
    const FamilyRow* family = find_family(spec.family);
    if (!family) throw InternalError("match_tensors: no family \"" + spec.family + "\"");
    const NamePatterns ignored(ignore, "ignore");
    FoundByName unclaimed = by_name(found, where);
    refuse_quantised(spec, found, ignored, where);

    std::vector<const FoundTensor*> claimed;
    std::vector<const TensorSpec*> missing;
    for (const TensorSpec& wanted : spec.tensors) {
        const FoundTensor* tensor = look_up(unclaimed, wanted, spec, *family);
        if (!tensor) {
            missing.push_back(&wanted);
            continue;
        }
        check_tensor(spec, wanted, *tensor, where);
        unclaimed.erase(tensor->name);
        claimed.push_back(tensor);
    }
    if (!missing.empty()) {
        for (const auto& [name, tensor] : unclaimed) refuse_adapter(*tensor, where);
        refuse_missing(missing, found, spec, *family, where);
    }

    std::vector<PassedOver> passed_over;
    std::erase_if(unclaimed, [&](const auto& entry) {
        const std::string reason = reason_to_pass_over(*entry.second, spec, *family, ignored);
        if (!reason.empty()) passed_over.push_back({entry.second->name, reason});
        return !reason.empty();
    });
    if (!unclaimed.empty()) refuse_unclaimed(unclaimed, spec, *family, where);
    // Only now, so that a refused checkpoint leaves the spec as it was.
    for (std::size_t i = 0; i < claimed.size(); ++i) spec.tensors[i].name = claimed[i]->name;
    return passed_over;
}

}  // namespace lathe
