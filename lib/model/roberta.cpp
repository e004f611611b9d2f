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

constexpr std::array<std::string_view, 1> buffers{".position_ids"};

ModelSpec read_roberta(const nlohmann::json& json, const std::string& where) {
    const ConfigReader config(json, where);
    ModelSpec spec = read_sizes(config, {.default_epsilon = 1e-12});
    make_encoder(config, spec);
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.activation = read_activation(config, "hidden_act", Activation::gelu);
    // Positions are counted from the row after the padding token's, as fairseq did.
    spec.position_offset = 1 + config.optional_integer("pad_token_id", {.low = 0}).value_or(1);
    if (spec.max_positions <= spec.position_offset)
        config.refuse("max_position_embeddings", "more than " +
                                                     std::to_string(spec.position_offset) +
                                                     ": counting begins after pad_token_id");
    spec.max_positions -= spec.position_offset;
    TransformerOptions options = encoder_options(spec);
    options.segment_rows =
        config.optional_integer("type_vocab_size", {.low = 1, .high = 1U << 10}).value_or(1);
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
