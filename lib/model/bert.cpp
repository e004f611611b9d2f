#include <array>

#include "lib/model/encoder.hpp"
#include "lib/model/families.hpp"

namespace lathe {
namespace {

constexpr TransformerNames bert_names = [] {
    TransformerNames names = bert_block_names;
    names.token_embedding = "bert.embeddings.word_embeddings";
    names.position_embedding = "bert.embeddings.position_embeddings";
    names.segment_embedding = "bert.embeddings.token_type_embeddings";
    names.embedding_norm = "bert.embeddings.LayerNorm";
    names.layers = "bert.encoder.layer.";
    names.pooler = "bert.pooler.dense";
    names.classifier = "classifier";
    return names;
}();

constexpr std::array<std::string_view, 1> buffers{".position_ids"};

ModelSpec read_bert(const nlohmann::json& json, const std::string& where) {
    const ConfigReader config(json, where);
    ModelSpec spec = read_sizes(config, {.default_epsilon = 1e-12});
    make_encoder(config, spec);
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.activation = read_activation(config, "hidden_act", Activation::gelu);
    TransformerOptions options = encoder_options(spec);
    options.segment_rows =
        config.optional_integer("type_vocab_size", {.low = 1, .high = 1U << 10}).value_or(2);
    add_transformer_tensors(spec, bert_names, options);
    return spec;
}

}  // namespace

FamilyRow bert_family() {
    return {
        .model_type = "bert", .prefix = "bert.", .head = "", .buffers = buffers, .read = read_bert};
}

}  // namespace lathe
