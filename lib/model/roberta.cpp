#include <array>

#include "lib/core/errors.hpp"
#include "lib/model/encoder.hpp"
#include "lib/model/families.hpp"

namespace lathe {
namespace {

constexpr TransformerNames roberta_names = [] {
    TransformerNames names = bert_block_names;
    names.token_embedding = "roberta.embeddings.word_embeddings";
    names.position_embedding = "roberta.embeddings.position_embeddings";
    names.segment_embedding = "roberta.embeddings.token_type_embeddings";
    names.embedding_norm = "roberta.embeddings.LayerNorm";
    names.layers = "roberta.encoder.layer.";
    names.pooler = "classifier.dense";
    names.classifier = "classifier.out_proj";
    return names;
}();

/// Older programs stored a pooler beside the classifier, which has a dense layer of its own.
constexpr std::array<std::string_view, 4> buffers{".position_ids", ".token_type_ids",
                                                  "pooler.dense.weight", "pooler.dense.bias"};

ModelSpec read_roberta(const ConfigReader& config) {
    ModelSpec spec = read_sizes(config);
    make_encoder(config, spec);
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.activation = read_activation(config, "hidden_act");
    // Positions are counted from the row after the padding token's, as fairseq did.
    spec.position_offset = 1 + config.integer("pad_token_id", {.low = 0});
    if (spec.max_positions <= spec.position_offset)
        config.refuse("max_position_embeddings", "more than " +
                                                     std::to_string(spec.position_offset) +
                                                     ": counting begins after pad_token_id");
    spec.max_positions -= spec.position_offset;
    TransformerOptions options = encoder_options(spec);
    options.segment_rows = config.integer("type_vocab_size", {.low = 1, .high = 1U << 10});
    add_transformer_tensors(spec, roberta_names, options);
    return spec;
}

}  // namespace

FamilyRow roberta_family() {
    return {.model_type = "roberta",
            .prefix = "roberta.",
            .head = "",
            .buffers = buffers,
            .read = read_roberta};
}

}  // namespace lathe
