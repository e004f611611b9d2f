#include "workers/slicing/sliced_model.hpp"

#include "lib/core/json.hpp"

namespace lathe {

namespace {

std::string stock_config(const SourceModel& source, std::size_t width) {
    const ModelSpec& spec = source.spec;
    nlohmann::json json = parse_json(source.config_text());
    json["hidden_size"] = width;
    json["head_dim"] = spec.head_dim;
    json["rms_norm_eps"] = double{spec.norm_epsilon} * static_cast<double>(spec.hidden_size) /
                           static_cast<double>(width);
    json["tie_word_embeddings"] = false;
    return json.dump(2) + "\n";
}

}  // namespace

DType sliced_dtype(const SourceModel& source, const TensorSpec& tensor) {
    const ModelSpec& spec = source.spec;
    if (is_shortcut(tensor.role) || tensor.role == Role::embedding_projection ||
        tensor.role == Role::head_projection) {
        const DType like = source.dtype(spec.find(Role::token_embedding, std::nullopt).value());
        return size_bytes(like) > 2 ? DType::f32 : DType::f16;
    }
    // A bias that takes up what a norm added has no counterpart; it is like its weight.
    const auto own = tensor.is_bias ? spec.find(tensor.role, tensor.block, true) : std::nullopt;
    return source.dtype(own ? *own : source_weight(spec, tensor).value());
}

bool shares_table(const ModelSpec& source, const SliceConfig& slice) {
    using Tables = SliceConfig::Tables;
    if (slice.tables == Tables::automatic) {
        return !slice.is_global() && reason_not_to_share_table(source).empty();
    }
    return slice.tables == Tables::shared;
}

SlicedModel describe_sliced(const SourceModel& source, const SliceConfig& slice,
                            const std::vector<std::size_t>& widths) {
    const std::string where = source.directory.string();
    const std::string config = source.config_text();
    const bool shares = shares_table(source.spec, slice);
    if (slice.is_global() && source.spec.norm == NormKind::rms && !shares) {
        const std::string stock = stock_config(source, widths.front());
        return {stock, "", read_model_spec(stock, where)};
    }
    const StreamShape shape{widths, !slice.is_global(), shares};
    const ModelSpec canonical = read_model_spec(config, where);
    return {config, to_json(shape, canonical), sliced_spec(canonical, shape, where)};
}

ModelOutline sliced_outline(const SourceModel& source, const SliceConfig& slice,
                            const std::vector<std::size_t>& widths) {
    ModelOutline outline{source.directory, describe_sliced(source, slice, widths).spec, {}};
    for (const TensorSpec& tensor : outline.spec.tensors) {
        outline.dtypes.push_back(sliced_dtype(source, tensor));
    }
    return outline;
}

}  // namespace lathe
