#include "workers/candidates/unit_data.hpp"

#include "lib/job/run_directory.hpp"
#include "workers/calibration/calibration.hpp"
#include "workers/model/weight_source.hpp"
#include "workers/slicing/rotation.hpp"

namespace lathe {
namespace {

/// Of what the head reads from a table that it shares with the embedding, of a sliced model: W x +
/// b, W and b the projection before the head and x the last boundary's normed stream, with `gram`
/// in the given model's basis. x is taken to be zero in the mean, which only b's part could tell.
std::vector<float> shared_head_gram(const JobContext& context, const std::vector<double>& gram) {
    const ModelSpec& spec = context.spec();
    const SourceWeights source(*context.source);
    const auto load = [&](bool is_bias) {
        const auto index = spec.find(Role::head_projection, std::nullopt, is_bias);
        const auto [rows, cols] = index ? matrix_extents(spec.tensors[*index].shape)
                                        : std::pair<std::size_t, std::size_t>{};
        std::vector<float> values(rows * cols);
        if (index) {
            source.load(*index, context.backend(), {values.data(), rows, cols});
        }
        return std::vector<double>(values.begin(), values.end());
    };
    const std::size_t width = spec.stream_widths.back();
    const std::size_t d = spec.embedding_size;
    const std::vector<double> cut = rotate_gram(context, n_boundaries(spec) - 1, gram, width);
    const std::vector<double> projection = load(false);
    const std::vector<double> bias = load(true);
    std::vector<double> half(d * width);
    std::vector<double> whole(d * d);
    const MatrixView<const double> w(projection.data(), d, width);
    context.backend().multiply(w, false, {cut.data(), width, width}, false,
                               {half.data(), d, width});
    context.backend().multiply({half.data(), d, width}, false, w, true, {whole.data(), d, d});
    for (std::size_t i = 0; i < bias.size(); ++i) {
        for (std::size_t j = 0; j < bias.size(); ++j) {
            whole[i * d + j] += bias[i] * bias[j];
        }
    }
    return {whole.begin(), whole.end()};
}

}  // namespace

std::vector<float> read_input_gram(const JobContext& context, const UnitSpec& unit) {
    // A tied embedding stands before the blocks and is fed after them.
    const std::string place = place_name(unit.block, context.spec().n_blocks);
    const std::size_t sweep = context.job.slice ? last_sweep(*context.job.slice) : 0;
    const std::filesystem::path file = context.run.statistics(place, sweep);
    const TensorSpec& first = context.spec().tensors[unit.tensors.front()];
    if (unit.input == Signal::mlp_hidden && context.orders_neurons()) {
        return in_neuron_order(read_statistics(file, unit.input).gram,
                               context.source->neuron_orders.at(unit.block.value()));
    }
    if (context.spec().shares_table() && unit.input == Signal::head_in) {
        return shared_head_gram(context, read_wide_gram(file, unit.input));
    }
    const auto boundary = stream_sides(context.spec(), first).columns;
    if (!context.is_sliced() || !boundary) {
        return read_statistics(file, unit.input).gram;
    }
    const std::vector<double> turned =
        rotate_gram(context, *boundary, read_wide_gram(file, unit.input), first.shape.back());
    return {turned.begin(), turned.end()};
}

UnitData load_unit(const JobContext& context, const UnitSpec& unit, UnitRows rows) {
    const ModelSpec& spec = context.spec();
    const SourceWeights source(*context.source);
    UnitData data;
    data.parts = tensors_of(spec, unit, rows);
    for (const TensorRows& part : data.parts) {
        const std::size_t index = unit.tensors[part.place];
        const TensorSpec& tensor = spec.tensors[index];
        const auto [all_rows, cols] = matrix_extents(tensor.shape);
        data.weights.emplace_back(part.count * cols);
        const MatrixView<float> weight(data.weights.back().data(), part.count, cols);
        source.load_rows(index, part.first, context.backend(), weight);
        (void)require_finite(spec, tensor, context.backend(), weight);
        data.tensors.push_back({weight,
                                part.count == all_rows ? tensor.shape : Shape{part.count, cols},
                                context.source->dtype(index)});
    }
    if (spec.tensors[unit.tensors.front()].role == Role::token_embedding) {
        const std::vector<float> all =
            token_frequencies(read_samples(context.run.samples()).calibration, spec.vocab_size);
        const auto first = all.begin() + static_cast<std::ptrdiff_t>(data.parts.front().first);
        data.row_weights.assign(first,
                                first + static_cast<std::ptrdiff_t>(data.parts.front().count));
    }
    if (unit.input == Signal::token_ids) {
        data.statistics.row_weights = data.row_weights;
    } else {
        data.gram = read_input_gram(context, unit);
        const std::size_t width = data.tensors.front().weight.cols;
        data.statistics.gram = {data.gram.data(), width, width};
    }
    return data;
}

std::vector<double> row_energies(const UnitData& data, const kernels::Backend& backend) {
    std::vector<double> energies;
    for (const UnitTensor& tensor : data.tensors) {
        const MatrixView<const float> w = tensor.weight;
        std::vector<double> rows(w.rows);
        if (data.gram.empty()) {
            for (std::size_t r = 0; r < w.rows; ++r) {
                for (std::size_t j = 0; j < w.cols; ++j) {
                    rows[r] += double{data.row_weights[r]} * w(r, j) * w(r, j);
                }
            }
        } else {
            backend.row_errors(w, data.statistics.gram, rows);
        }
        energies.insert(energies.end(), rows.begin(), rows.end());
    }
    return energies;
}

}  // namespace lathe
