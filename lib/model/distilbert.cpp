#include <array>

#include "lib/model/encoder.hpp"
#include "lib/model/families.hpp"

namespace lathe {
namespace {

constexpr TransformerNames distilbert_names{
    .token_embedding = "distilbert.embeddings.word_embeddings",
    .position_embedding = "distilbert.embeddings.position_embeddings",
    .embedding_norm = "distilbert.embeddings.LayerNorm",
    .layers = "distilbert.transformer.layer.",
    .attention_norm = "sa_layer_norm",
    .q = "attention.q_lin",
    .k = "attention.k_lin",
    .v = "attention.v_lin",
    .o = "attention.out_lin",
    .mlp_norm = "output_layer_norm",
    .up = "ffn.lin1",
    .down = "ffn.lin2",
    .pooler = "pre_classifier",
    .classifier = "classifier",
};

constexpr std::array<std::string_view, 1> buffers{".position_ids"};

ModelSpec read_distilbert(const ConfigReader& config) {
    ModelSpec spec = read_sizes(config, {.hidden = "dim",
                                         .blocks = "n_layers",
                                         .heads = "n_heads",
                                         .epsilon = "",
                                         .fixed_epsilon = 1e-12});
    make_encoder(config, spec);
    spec.intermediate_size = config.integer("hidden_dim", size_limits::intermediate);
    spec.activation = read_activation(config, "activation");
    spec.pooler_activation = Activation::relu;
    add_transformer_tensors(spec, distilbert_names, encoder_options(spec));
    return spec;
}

}  // namespace

FamilyRow distilbert_family() {
    return {.model_type = "distilbert",
            .prefix = "distilbert.",
            .head = "",
            .buffers = buffers,
            .read = read_distilbert};
}

}  // namespace lathe
