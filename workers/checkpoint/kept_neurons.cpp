#include "workers/checkpoint/kept_neurons.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/encoding/split.hpp"

namespace lathe {
namespace {

/// How neurons lie in a tensor: in runs of all of them along an axis; none: it has no such.
struct NeuronAxis {
    SplitAxis axis = SplitAxis::rows;
    std::size_t runs = 1;
};

std::optional<NeuronAxis> neuron_axis(const TensorSpec& tensor) {
    switch (tensor.role) {
        case Role::gate_proj:
        case Role::up_proj:
            return NeuronAxis{};
        case Role::gate_up_proj:
            return NeuronAxis{SplitAxis::rows, 2};
        case Role::down_proj:
            return tensor.is_bias ? std::nullopt : std::optional(NeuronAxis{SplitAxis::columns, 1});
        default:
            return std::nullopt;
    }
}

/// The first neurons, which an encoded weight keeps; none if it drops none.
std::optional<std::size_t> count_kept(const EncodedTensor& tensor, const NeuronAxis& neurons) {
    if (tensor.encoding != "split" || split_axis(tensor) != neurons.axis ||
        tensor.pieces.size() != 2 * neurons.runs) {
        return std::nullopt;
    }
    const std::size_t along = neurons.axis == SplitAxis::rows ? 0 : 1;
    const std::size_t kept = tensor.pieces.front().shape.at(along);
    for (std::size_t i = 0; i < tensor.pieces.size(); ++i) {
        const EncodedTensor& piece = tensor.pieces[i];
        if ((piece.encoding == "zeros") != (i % 2 == 1) ||
            (i % 2 == 0 && piece.shape.at(along) != kept)) {
            return std::nullopt;
        }
    }
    return kept;
}

/// The text with another number of neurons; none if no key says it.
std::optional<std::string> config_with(const std::string& config, std::size_t neurons,
                                       const std::string& where) {
    for (const char* key : {"intermediate_size", "ffn_dim", "n_inner", "hidden_dim"}) {
        nlohmann::json json = parse_json(config, where);
        json[key] = neurons;
        std::string text = json.dump(2) + "\n";
        if (read_model_spec(text, where).intermediate_size == neurons) {
            return text;
        }
    }
    return std::nullopt;
}

}  // namespace

Shape KeptNeurons::shape(const TensorSpec& tensor) const {
    Shape shape = tensor.shape;
    if (const auto neurons = neuron_axis(tensor)) {
        shape.at(neurons->axis == SplitAxis::rows ? 0 : 1) = neurons->runs * count;
    }
    return shape;
}

std::vector<float> KeptNeurons::take(const TensorSpec& tensor,
                                     const std::vector<float>& values) const {
    const auto neurons = neuron_axis(tensor);
    if (!neurons) {
        return values;
    }
    // In columns a run is a row of the tensor; in rows it is that many rows, of a bias elements.
    const bool in_columns = neurons->axis == SplitAxis::columns;
    const std::size_t n_runs = in_columns ? tensor.shape.at(0) : neurons->runs;
    const std::size_t run = values.size() / n_runs;
    std::vector<float> kept;
    for (std::size_t r = 0; r < n_runs; ++r) {
        const auto begin = values.begin() + static_cast<std::ptrdiff_t>(r * run);
        kept.insert(kept.end(), begin, begin + static_cast<std::ptrdiff_t>(run / before * count));
    }
    return kept;
}

bool has_neurons(const TensorSpec& tensor) {
    return neuron_axis(tensor).has_value();
}

std::optional<KeptNeurons> kept_neurons(const ModelSpec& spec,
                                        std::span<const EncodedTensor> headers,
                                        const std::string& config, const std::string& where) {
    std::optional<std::size_t> kept;
    for (std::size_t t = 0; t < spec.tensors.size(); ++t) {
        const auto neurons = neuron_axis(spec.tensors[t]);
        if (!neurons || spec.tensors[t].is_bias) {
            continue;
        }
        const auto own = count_kept(headers[t], *neurons);
        if (!own || (kept && *kept != *own)) {
            return std::nullopt;
        }
        kept = own;
    }
    if (!kept) {
        return std::nullopt;
    }
    auto smaller = config_with(config, *kept, where);
    return smaller ? std::optional(KeptNeurons{spec.intermediate_size, *kept, std::move(*smaller)})
                   : std::nullopt;
}

const EncodedTensor* kept_piece(const EncodedTensor& tensor) {
    const bool is_pair = tensor.encoding == "split" && tensor.pieces.size() == 2;
    return is_pair && tensor.pieces.back().encoding == "zeros" ? &tensor.pieces.front() : nullptr;
}

}  // namespace lathe
