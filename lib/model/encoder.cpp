#include "lib/model/encoder.hpp"

namespace lathe {

void make_encoder(const ConfigReader& config, ModelSpec& spec) {
    spec.form = BlockForm::post_norm;
    spec.norm = NormKind::layer;
    spec.head = HeadKind::classifier;
    spec.causal = false;
    // Encoders' tying is about a masked-language head that a classifier does not have.
    spec.tied_head = false;
    spec.max_positions = config.integer("max_position_embeddings", size_limits::positions);
    spec.labels = read_labels(config);
    if (config.optional_string("position_embedding_type").value_or("absolute") != "absolute")
        config.unsupported("position_embedding_type", "\"absolute\"");
    if (config.boolean("is_decoder")) config.unsupported("is_decoder", "false");
}

TransformerOptions encoder_options(const ModelSpec& spec) {
    return {.norm_bias = true,
            .qkv_bias = true,
            .o_bias = true,
            .mlp_bias = true,
            .position_rows = spec.max_positions + spec.position_offset};
}

}  // namespace lathe
