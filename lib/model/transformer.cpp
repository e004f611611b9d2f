#include "lib/model/transformer.hpp"

#include <initializer_list>
#include <string>

#include "lib/model/spec_builder.hpp"

namespace lathe {
namespace {

/// Adds the parts of one model, each only if the family has a name for it.
class TransformerBuilder {
public:
    TransformerBuilder(ModelSpec& spec, const TransformerNames& names,
                       const TransformerOptions& options)
        : spec_(spec), names_(names), options_(options), builder_(spec) {}

    void before_blocks() {
        const std::size_t width = spec_.embedding_size;
        builder_.add_embedding(Role::token_embedding, std::string(names_.token_embedding),
                               spec_.vocab_size, width);
        builder_.add_unit("embedding", {Role::token_embedding},
                          spec_.tied_head ? Signal::head_in : Signal::token_ids);
        embedding(Role::position_embedding, names_.position_embedding, options_.position_rows);
        embedding(Role::segment_embedding, names_.segment_embedding, options_.segment_rows);
        linear(Role::embedding_projection, names_.embedding_projection, spec_.hidden_size, width,
               false);
        norm(Role::embedding_norm, names_.embedding_norm, spec_.hidden_size);
    }

    void block(std::size_t number) {
        prefix_ = std::string(names_.layers) + std::to_string(number) + ".";
        builder_.enter_block(number);
        builder_.store_transposed(options_.transposed);
        norm(Role::attention_norm, names_.attention_norm, spec_.hidden_size);
        attention();
        norm(Role::mlp_norm, names_.mlp_norm, spec_.hidden_size);
        mlp();
        builder_.store_transposed(false);
        builder_.enter_block(std::nullopt);
        prefix_.clear();
    }

    void after_blocks() {
        norm(Role::final_norm, names_.final_norm, spec_.hidden_size);
        linear(Role::head_projection, names_.head_projection, spec_.embedding_size,
               spec_.hidden_size, false);
        if (spec_.head == HeadKind::classifier) {
            linear(Role::pooler, names_.pooler, spec_.hidden_size, spec_.hidden_size, true);
            builder_.add_unit("pooler", {Role::pooler}, Signal::head_in);
            linear(Role::classifier, names_.classifier, spec_.n_outputs(), spec_.hidden_size, true);
            builder_.add_unit("classifier", {Role::classifier}, Signal::classifier_in);
        } else if (!spec_.tied_head) {
            linear(Role::lm_head, names_.head, spec_.vocab_size, spec_.embedding_size,
                   options_.head_bias);
            builder_.add_unit("head", {Role::lm_head}, Signal::head_in);
        }
    }

private:
    void embedding(Role role, std::string_view module, std::size_t rows) {
        if (!module.empty())
            builder_.add_embedding(role, std::string(module), rows, spec_.hidden_size);
    }
    void norm(Role role, std::string_view module, std::size_t width) {
        if (!module.empty())
            builder_.add_norm(role, prefix_ + std::string(module), width, options_.norm_bias);
    }
    void linear(Role role, std::string_view module, std::size_t out, std::size_t in, bool bias) {
        if (!module.empty())
            builder_.add_linear(role, prefix_ + std::string(module), out, in, bias);
    }

    void attention() {
        const std::size_t hidden = spec_.hidden_size;
        const std::size_t q_width = spec_.n_heads * spec_.head_dim;
        const std::size_t kv_width = spec_.n_kv_heads * spec_.head_dim;
        if (!names_.qkv.empty()) {
            const std::size_t groups =
                options_.fused_order == FusedOrder::by_head ? spec_.n_kv_heads : 1;
            builder_.add_fused(prefix_ + std::string(names_.qkv), Role::qkv_proj,
                               {.parts = {{Role::q_proj, q_width / groups},
                                          {Role::k_proj, kv_width / groups},
                                          {Role::v_proj, kv_width / groups}},
                                .n_groups = groups},
                               hidden, options_.qkv_bias);
            builder_.add_unit("qkv", {Role::qkv_proj}, Signal::attention_in);
        } else {
            linear(Role::q_proj, names_.q, q_width, hidden, options_.qkv_bias);
            linear(Role::k_proj, names_.k, kv_width, hidden, options_.qkv_bias);
            linear(Role::v_proj, names_.v, kv_width, hidden, options_.qkv_bias);
            builder_.add_unit("qkv", {Role::q_proj, Role::k_proj, Role::v_proj},
                              Signal::attention_in);
        }
        norm(Role::q_norm, names_.q_norm, spec_.head_dim);
        norm(Role::k_norm, names_.k_norm, spec_.head_dim);
        linear(Role::o_proj, names_.o, hidden, q_width, options_.o_bias);
        builder_.add_unit("o", {Role::o_proj}, Signal::attention_out);
    }

    void mlp() {
        const std::size_t hidden = spec_.hidden_size;
        const std::size_t ffn = spec_.intermediate_size;
        // A parallel MLP without a norm of its own reads what attention reads.
        const Signal input = names_.mlp_norm.empty() ? Signal::attention_in : Signal::mlp_in;
        if (!names_.gate_up.empty()) {
            builder_.add_fused(prefix_ + std::string(names_.gate_up), Role::gate_up_proj,
                               {.parts = {{Role::gate_proj, ffn}, {Role::up_proj, ffn}}}, hidden,
                               options_.mlp_bias);
            builder_.add_unit("gate_up", {Role::gate_up_proj}, input);
        } else if (!names_.gate.empty()) {
            linear(Role::gate_proj, names_.gate, ffn, hidden, options_.mlp_bias);
            linear(Role::up_proj, names_.up, ffn, hidden, options_.mlp_bias);
            builder_.add_unit("gate_up", {Role::gate_proj, Role::up_proj}, input);
        } else {
            linear(Role::up_proj, names_.up, ffn, hidden, options_.mlp_bias);
            builder_.add_unit("up", {Role::up_proj}, input);
        }
        linear(Role::down_proj, names_.down, hidden, ffn, options_.mlp_bias);
        builder_.add_unit("down", {Role::down_proj}, Signal::mlp_hidden);
    }

    ModelSpec& spec_;
    const TransformerNames& names_;
    const TransformerOptions& options_;
    SpecBuilder builder_;
    std::string prefix_;  ///< of the current block's modules
};

}  // namespace

void add_transformer_tensors(ModelSpec& spec, const TransformerNames& names,
                             const TransformerOptions& options) {
    TransformerBuilder builder(spec, names, options);
    builder.before_blocks();
    for (std::size_t block = 0; block < spec.n_blocks; ++block) builder.block(block);
    builder.after_blocks();
}

}  // namespace lathe
