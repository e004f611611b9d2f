#include "lib/model/stream.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/model/family.hpp"

namespace lathe {
namespace {

bool is_stream_norm(Role role) {
    return role == Role::attention_norm || role == Role::mlp_norm || role == Role::final_norm ||
           role == Role::embedding_norm;
}

/// "model.layers.3." of the block's tensors.
std::string block_prefix(const ModelSpec& spec, std::size_t block) {
    const auto first = spec.find(Role::o_proj, block);
    const std::string& name = spec.tensors.at(first.value()).name;
    const std::string number = std::to_string(block) + ".";
    const std::size_t place =
        name.starts_with(number) ? 0 : name.find("." + number) + 1;  // after the dot
    return name.substr(0, place + number.size());
}

/// "model.layers.3.mlp.fc1.bias" of "model.layers.3.mlp.fc1.weight".
std::string bias_name(const std::string& weight) {
    return weight.substr(0, weight.rfind('.')) + ".bias";
}

/// Builds the sliced model's lists from the source's.
class Slicer {
public:
    Slicer(const ModelSpec& source, const StreamShape& shape)
        : source_(source), shape_(shape), sliced_(source) {
        sliced_.tensors.clear();
        sliced_.units.clear();
        sliced_.stream_widths = shape.widths;
        if (!shape.shares_table) sliced_.embedding_size = shape.widths.front();
        sliced_.tied_head = shape.shares_table;
        place_of_.resize(source.tensors.size());
    }

    ModelSpec slice() {
        std::optional<std::size_t> block;
        for (std::size_t t = 0; t < source_.tensors.size(); ++t) {
            if (source_.tensors[t].block != block) {
                if (!block && shape_.shares_table) add_projection(Role::embedding_projection);
                end_of_block(block);
                block = source_.tensors[t].block;
            }
            take(t);
        }
        end_of_block(block);
        if (shape_.shares_table)
            add_projection(Role::head_projection);
        else
            add_own_head();
        set_widths();
        take_units();
        return std::move(sliced_);
    }

private:
    void take(std::size_t t) {
        const TensorSpec& tensor = source_.tensors[t];
        if (is_stream_norm(tensor.role)) return;
        place_of_[t] = sliced_.tensors.size();
        sliced_.tensors.push_back(tensor);
        if (!tensor.is_bias && !source_.find(tensor.role, tensor.block, true))
            add_bias(tensor, norm_before(source_, tensor));
    }

    /// The norm's bias, seen through a layer without one, becomes that layer's.
    void add_bias(const TensorSpec& weight, std::optional<Role> norm) {
        if (!norm || !source_.find(*norm, weight.block, true)) return;
        TensorSpec bias = weight;
        bias.name = bias_name(weight.name);
        bias.is_bias = true;
        bias.shape = {weight.shape.front()};
        bias.transposed = false;
        sliced_.tensors.push_back(std::move(bias));
    }

    void end_of_block(std::optional<std::size_t> block) {
        if (!block || !shape_.has_shortcuts) return;
        if (source_.form == BlockForm::pre_norm) add_shortcut(Role::attention_shortcut, *block);
        add_shortcut(Role::mlp_shortcut, *block);
    }

    void add_shortcut(Role role, std::size_t block) {
        TensorSpec tensor;
        tensor.name = block_prefix(source_, block) + std::string(name(role)) + ".weight";
        tensor.role = role;
        tensor.block = block;
        tensor.shape = {source_.hidden_size, source_.hidden_size};
        sliced_.tensors.push_back(std::move(tensor));
    }

    /// Between the table and the stream; named beside the table.
    void add_projection(Role role) {
        const std::size_t table = source_.find(Role::token_embedding, std::nullopt).value();
        const std::string& name_of_table = source_.tensors[table].name;
        const std::string module = name_of_table.substr(0, name_of_table.rfind('.'));
        TensorSpec tensor;
        tensor.name = module.substr(0, module.rfind('.') + 1) + std::string(name(role)) + ".weight";
        tensor.role = role;
        tensor.shape = {source_.hidden_size, source_.hidden_size};
        add_bias(sliced_.tensors.emplace_back(std::move(tensor)), norm_before(source_, tensor));
    }

    /// A tied head and the embedding are treated differently: they become two tensors.
    void add_own_head() {
        if (!source_.tied_head) return;
        TensorSpec head;
        head.name = find_family(source_.family)->head;
        head.role = Role::lm_head;
        head.shape = {source_.vocab_size, source_.hidden_size};
        add_bias(sliced_.tensors.emplace_back(std::move(head)), Role::final_norm);
    }

    void set_widths() {
        for (TensorSpec& tensor : sliced_.tensors) {
            const StreamSides sides = stream_sides(sliced_, tensor);
            if (sides.rows) tensor.shape.front() = shape_.widths[*sides.rows];
            if (sides.columns && !tensor.is_bias)
                tensor.shape.back() = shape_.widths[*sides.columns];
        }
    }

    void take_units() {
        for (UnitSpec unit : source_.units) {
            for (std::size_t& t : unit.tensors) t = place_of_[t];
            // All norms of a parallel block are the same now; a table of its own feeds no head.
            if (unit.input == Signal::mlp_in && source_.form == BlockForm::parallel)
                unit.input = Signal::attention_in;
            if (!shape_.shares_table &&
                sliced_.tensors[unit.tensors.front()].role == Role::token_embedding)
                unit.input = Signal::token_ids;
            sliced_.units.push_back(std::move(unit));
        }
        for (std::size_t t = 0; t < sliced_.tensors.size(); ++t) {
            const TensorSpec& tensor = sliced_.tensors[t];
            const bool is_own_head =
                source_.tied_head && tensor.role == Role::lm_head && !tensor.is_bias;
            if (is_shortcut(tensor.role))
                add_shortcut_unit(t);
            else if (is_own_head)
                sliced_.units.push_back({"head", std::nullopt, {t}, Signal::head_in});
        }
        std::ranges::stable_sort(sliced_.units, {},
                                 [](const UnitSpec& unit) { return unit.tensors.front(); });
    }

    void add_shortcut_unit(std::size_t t) {
        const TensorSpec& tensor = sliced_.tensors[t];
        const bool from_middle =
            tensor.role == Role::mlp_shortcut && source_.form == BlockForm::pre_norm;
        const auto own = std::ranges::find(source_.units, tensor.block, &UnitSpec::block);
        const std::string block = own->name.substr(0, own->name.find('.') + 1);
        sliced_.units.push_back({block + std::string(name(tensor.role)),
                                 tensor.block,
                                 {t},
                                 from_middle ? Signal::stream_mid : Signal::stream_in});
    }

    const ModelSpec& source_;
    const StreamShape& shape_;
    ModelSpec sliced_;
    std::vector<std::size_t> place_of_;  ///< in the sliced model, of each tensor that stays
};

}  // namespace

std::size_t n_boundaries(const ModelSpec& spec) {
    return spec.n_blocks * spec.steps_per_block() + 1;
}

StreamSides stream_sides(const ModelSpec& spec, const TensorSpec& tensor) {
    const std::size_t per_block = spec.steps_per_block();
    const std::size_t in = tensor.block.value_or(0) * per_block;
    const std::size_t last = in + per_block - 1;  // the boundary before the block's last step
    switch (tensor.role) {
        case Role::token_embedding:
            if (spec.shares_table()) return {};
            return {std::nullopt, 0};
        case Role::position_embedding:
        case Role::segment_embedding:
            return {std::nullopt, 0};
        case Role::embedding_projection:
            return {0, std::nullopt};
        case Role::qkv_proj:
        case Role::q_proj:
        case Role::k_proj:
        case Role::v_proj:
            return {std::nullopt, in};
        case Role::o_proj:
            return {in + 1, std::nullopt};
        case Role::gate_up_proj:
        case Role::gate_proj:
        case Role::up_proj:
            return {std::nullopt, last};
        case Role::down_proj:
            return {last + 1, std::nullopt};
        case Role::attention_shortcut:
            return {in + 1, in};
        case Role::mlp_shortcut:
            return {last + 1, last};
        case Role::head_projection:
        case Role::lm_head:
            return {std::nullopt, n_boundaries(spec) - 1};
        default:
            return {};
    }
}

std::optional<Role> norm_before(const ModelSpec& spec, const TensorSpec& tensor) {
    const auto if_there = [&](Role role, std::optional<std::size_t> block) {
        return spec.has(role, block) ? std::optional(role) : std::nullopt;
    };
    switch (tensor.role) {
        case Role::qkv_proj:
        case Role::q_proj:
        case Role::k_proj:
        case Role::v_proj:
            return if_there(Role::attention_norm, tensor.block);
        case Role::gate_up_proj:
        case Role::gate_proj:
        case Role::up_proj: {
            // A parallel MLP without a norm of its own reads what attention reads.
            const auto own = if_there(Role::mlp_norm, tensor.block);
            return own ? own : if_there(Role::attention_norm, tensor.block);
        }
        case Role::head_projection:
        case Role::lm_head:
            return if_there(Role::final_norm, std::nullopt);
        default:
            return std::nullopt;
    }
}

std::optional<std::size_t> source_weight(const ModelSpec& source, const TensorSpec& tensor) {
    const bool is_tied_head = tensor.role == Role::lm_head && source.tied_head;
    return source.find(is_tied_head ? Role::token_embedding : tensor.role, tensor.block);
}

StreamShape StreamShape::uncut(const ModelSpec& spec) {
    return {std::vector<std::size_t>(n_boundaries(spec), spec.hidden_size), false};
}

std::string reason_not_to_slice(const ModelSpec& spec) {
    if (spec.is_sliced()) return "it is sliced already";
    if (spec.form == BlockForm::post_norm)
        return "its blocks norm after the addition, so that the residual stream itself is normed "
               "and has no basis of its own";
    if (spec.head != HeadKind::language_model)
        return "its head is a classifier, which reads through more than one linear layer";
    if (spec.has(Role::embedding_projection, std::nullopt) ||
        spec.has(Role::head_projection, std::nullopt))
        return "its embedding has another width than its blocks";
    if (!spec.has(Role::final_norm, std::nullopt)) return "it has no norm before the head";
    const bool adds_to_embedding = spec.has(Role::position_embedding, std::nullopt) ||
                                   spec.has(Role::segment_embedding, std::nullopt);
    if (spec.has(Role::embedding_norm, std::nullopt) && adds_to_embedding)
        return "it norms the sum of its embeddings, which no table can hold";
    for (std::size_t b = 0; b < spec.n_blocks; ++b)
        if (!spec.has(Role::attention_norm, b) ||
            (spec.form == BlockForm::pre_norm && !spec.has(Role::mlp_norm, b)))
            return "block " + std::to_string(b) + " reads the residual stream without a norm";
    return "";
}

std::string reason_not_to_share_table(const ModelSpec& spec) {
    if (!spec.tied_head) return "its head has weights of its own";
    if (spec.has(Role::embedding_norm, std::nullopt))
        return "it norms its embeddings, before which nothing can be turned";
    return "";
}

ModelSpec sliced_spec(const ModelSpec& source, const StreamShape& shape, const std::string& where) {
    const std::string reason = reason_not_to_slice(source);
    if (!reason.empty())
        throw DataError(where + ": a " + source.family +
                        " model like this cannot be sliced: " + reason);
    if (shape.widths.size() != n_boundaries(source))
        throw DataError(where + ": widths for " + std::to_string(shape.widths.size()) +
                        " boundaries of the residual stream, the model has " +
                        std::to_string(n_boundaries(source)));
    for (const std::size_t width : shape.widths)
        if (width < 1 || width > source.hidden_size)
            throw DataError(where + ": a residual stream " + std::to_string(width) +
                            " wide; expected 1 to " + std::to_string(source.hidden_size) +
                            ", the model's own width");
    if (const std::string why = reason_not_to_share_table(source);
        shape.shares_table && !why.empty())
        throw DataError(where + ": embedding and head cannot share a table: " + why);
    if (!shape.has_shortcuts &&
        std::ranges::adjacent_find(shape.widths, std::not_equal_to<>()) != shape.widths.end())
        throw DataError(where + ": without shortcuts all widths of the stream must be equal");
    return Slicer(source, shape).slice();
}

std::string reason_not_stock(const ModelSpec& sliced) {
    if (std::ranges::any_of(sliced.tensors, is_shortcut, &TensorSpec::role))
        return "the model is sliced with a rotation for each boundary, whose shortcut matrices no "
               "server runs; expected slice.rotation: global";
    if (sliced.shares_table())
        return "the sliced model has projections around the table that embedding and head share, "
               "which no server runs; expected slice.tables: own";
    return "the sliced model's norms have no parameters, and no server runs such a " +
           sliced.family;
}

}  // namespace lathe
