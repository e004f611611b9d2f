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

constexpr std::array<std::string_view, 2> buffers{".position_ids", ".token_type_ids"};

ModelSpec read_bert(const ConfigReader& config) {
    ModelSpec spec = read_sizes(config);
    make_encoder(config, spec);
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.activation = read_activation(config, "hidden_act");
    TransformerOptions options = encoder_options(spec);
    options.segment_rows = config.integer("type_vocab_size", {.low = 1, .high = 1U << 10});
    add_transformer_tensors(spec, bert_names, options);
    return spec;
}

}  // namespace

FamilyRow bert_family() {
    return {
        .model_type = "bert", .prefix = "bert.", .head = "", .buffers = buffers, .read = read_bert};
}

}  // namespace lathe
