#include "workers/slicing/slice_refit.hpp"

#include <cmath>

#include "lib/core/json.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/slicing/rotation.hpp"

namespace lathe {

SliceRefitter::SliceRefitter(const JobContext& context, const RefitTask& first)
    : Chain(context, first.streams),
      source_(*context.fused),
      widths_(first.widths),
      target_(describe_sliced(context.given_model(), *context.job.slice, widths_)),
      weights_(context, target_, widths_),
      source_forward_(source_.spec, context.backend(), samples().max_length()),
      forward_(target_.spec, context.backend(), samples().max_length()),
      source_stream_(make_stream(source_forward_)),
      stream_(make_stream(forward_)) {
    for (kernels::Array<float>& memory : memory_) {
        memory = backend().allocate<float>(share().most_tokens() * source_.spec.hidden_size);
    }
    begin({&source_stream_, &stream_}, [&] {
        source_stream_.embed(source_.weights);
        stream_.embed(weights_);
    });
}

void SliceRefitter::repeat_block(const RefitTask& /*task*/) {
    const std::vector<StepFit> fits = read_slice_fit(context().run.slice_fit(place()));
    for (std::size_t step = 0; step < fits.size(); ++step) {
        weights_.refit(boundary(step), fits[step]);
        advance_source(step);
        advance(step);
    }
}

void SliceRefitter::work_on_block(const RefitTask& task) {
    std::vector<StepFit> fits;
    if (is_behind_blocks()) {
        fits.push_back({fit_reading(0), {}});
    } else {
        for (std::size_t step = 0; step < source_.spec.steps_per_block(); ++step) {
            fits.push_back(fit_step(step));
        }
    }
    if (share().leads()) {
        write_slice_fit(context().run.slice_fit(place()), fits, task.fingerprint);
    }
}

LoadedWeights SliceRefitter::load(const ModelSpec& spec, const WeightSource& weights,
                                  std::size_t step) const {
    return LoadedWeights::load(spec, weights, backend(), block(), roles_of(spec, step));
}

void SliceRefitter::advance_source(std::size_t step) {
    source_stream_.take_step(load(source_.spec, source_.weights, step));
}

void SliceRefitter::advance(std::size_t step) {
    stream_.take_step(load(target_.spec, weights_, step));
    require_finite(stream_, "of the sliced model");
}

StepFit SliceRefitter::fit_step(std::size_t step) {
    StepFit fit{fit_reading(step), {}};
    weights_.refit(boundary(step), fit);
    advance_source(step);
    for (const StreamWriter& writer : writers_of(source_.spec, step)) {
        fit.writing[writer.role] = fit_writing(step, writer);
        weights_.refit(boundary(step), fit, writer.role);
    }
    advance(step);
    return fit;
}

kernels::Array<float> SliceRefitter::basis(std::size_t boundary, bool turned) const {
    const std::size_t hidden = source_.spec.hidden_size;
    const std::size_t width = widths_[boundary];
    std::vector<double> rows = stream_basis(context(), boundary, width);
    if (turned) {
        std::vector<double> columns(rows.size());
        for (std::size_t i = 0; i < width; ++i) {
            for (std::size_t j = 0; j < hidden; ++j) {
                columns[j * width + i] = rows[i * hidden + j];
            }
        }
        rows = std::move(columns);
    }
    kernels::Array<float> memory = backend().allocate<float>(rows.size());
    backend().upload(reinterpret_cast<const std::byte*>(rows.data()), DType::f64,
                     memory.matrix(turned ? hidden : width, turned ? width : hidden));
    return memory;
}

void SliceRefitter::norm(MatrixView<const float> x, MatrixView<float> y) const {
    const float share = static_cast<float>(source_.spec.hidden_size) / static_cast<float>(x.cols);
    const std::vector<float> factors(x.cols, std::sqrt(share));
    backend().rms_norm(x, factors, source_.spec.norm_epsilon * share, y);
}

std::vector<float> SliceRefitter::correction(const InputShift& shift, std::size_t rows,
                                             MatrixView<const float> readers) const {
    const kernels::Array<float> memory = backend().allocate<float>(rows * shift.width());
    const MatrixView<float> change = memory.matrix(rows, shift.width());
    const auto penalty = shift.choose_penalty({&change, 1}, readers);
    if (!penalty) {
        return {};
    }
    shift.correct({&change, 1}, *penalty);
    return backend().to_host(change);
}

template <class Add>
InputShift SliceRefitter::add_up(const Add& add) const {
    return share().add_up([&] { return InputShift(backend()); }, add);
}

std::vector<float> SliceRefitter::fit_reading(std::size_t step) {
    const std::size_t hidden = source_.spec.hidden_size;
    const std::size_t width = widths_[boundary(step)];
    const kernels::Array<float> turned = basis(boundary(step), true);
    const InputShift shift = add_up([&](InputShift& sums, const SequenceRange& batch) {
        const auto memory = [&](std::size_t m, std::size_t cols) {
            return memory_[m].matrix(batch.tokens, cols);
        };
        norm(source_stream_.part(batch), memory(0, hidden));
        norm(stream_.part(batch), memory(1, width));
        backend().linear(memory(1, width), turned.matrix(hidden, width), {}, memory(2, hidden));
        sums.add(memory(1, width));
        const std::vector<float> lacks =
            missing_values(backend().to_host(memory(0, hidden)), memory(2, hidden), backend());
        sums.add_missing_output({lacks.data(), batch.tokens, hidden});
    });
    const ReaderWeights readers = stacked_readers(step);
    return correction(shift, hidden, readers.values.matrix(readers.rows, hidden));
}

SliceRefitter::ReaderWeights SliceRefitter::stacked_readers(std::size_t step) const {
    const LoadedWeights loaded = is_behind_blocks()
                                     ? LoadedWeights::load(source_.spec, source_.weights, backend(),
                                                           {}, std::array{Role::lm_head})
                                     : load(source_.spec, source_.weights, step);
    std::vector<MatrixView<const float>> parts;
    ReaderWeights readers;
    for (const Role role : {Role::q_proj, Role::k_proj, Role::v_proj, Role::gate_proj,
                            Role::up_proj, Role::lm_head}) {
        if (loaded.has(role)) {
            parts.push_back(loaded.weight(role).values);
            readers.rows += parts.back().rows;
        }
    }
    const std::size_t hidden = source_.spec.hidden_size;
    readers.values = backend().allocate<float>(readers.rows * hidden);
    const MatrixView<float> all = readers.values.matrix(readers.rows, hidden);
    std::size_t first = 0;
    for (const MatrixView<const float>& part : parts) {
        backend().copy(part, all.row_range(first, part.rows));
        first += part.rows;
    }
    return readers;
}

std::vector<float> SliceRefitter::fit_writing(std::size_t step, const StreamWriter& writer) {
    const std::size_t hidden = source_.spec.hidden_size;
    const std::size_t next = widths_[boundary(step) + 1];
    const kernels::Array<float> rows = basis(boundary(step) + 1, false);
    const LoadedWeights loaded = load(target_.spec, weights_, step);
    const InputShift shift = add_up([&](InputShift& sums, const SequenceRange& batch) {
        const auto observe = [&](Signal signal, MatrixView<const float> x) {
            if (signal == writer.input) {
                sums.add(x);
            }
        };
        const MatrixView<float> found = stream_.try_step(loaded, batch, memory_[0], observe);
        const MatrixView<float> expected = memory_[1].matrix(batch.tokens, next);
        backend().linear(source_stream_.part(batch), rows.matrix(next, hidden), {}, expected);
        const std::vector<float> lacks =
            missing_values(backend().to_host(expected), found, backend());
        sums.add_missing_output({lacks.data(), batch.tokens, next});
    });
    return correction(shift, next);
}

std::string to_json(const RefitTask& task) {
    return nlohmann::json{{"block", task.block},
                          {"widths", task.widths},
                          {"fingerprint", task.fingerprint},
                          {"streams", to_text(task.streams)}}
        .dump();
}

RefitTask refit_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("block"), json.at("widths").get<std::vector<std::size_t>>(),
            json.at("fingerprint"), stored_streams_from_text(json.at("streams"))};
}

}  // namespace lathe
