#include "workers/slicing/sequential_rotation.hpp"

#include "lib/core/json.hpp"
#include "workers/statistics/neuron_ranking.hpp"

namespace lathe {

SequentialRotator::SequentialRotator(const JobContext& context, const SequentialTask& first)
    : Chain(context, first.streams),
      model_(*context.fused),
      reads_end_(reads_stream_end(context)),
      forward_(model_.spec, context.backend(), samples().max_length()),
      stream_(make_stream(forward_)) {
    forward_.use_bf16(context.calibrates_in_bf16());
    begin({&stream_}, [&] { stream_.embed(model_.weights); });
}

void SequentialRotator::repeat_block(const SequentialTask& task) {
    const LoadedWeights weights = load();
    for (std::size_t step = 0; step < model_.spec.steps_per_block(); ++step) {
        cut(read_rotation(context(), boundary(step), 0), task.widths[boundary(step)]);
        for (const SequenceRange& batch : share().batches()) {
            take_step(weights, batch, {});
        }
        stream_.pass_step();
    }
}

void SequentialRotator::work_on_block(const SequentialTask& task) {
    const LoadedWeights weights = load();
    output_norms_ =
        context().orders_neurons() ? output_norms(weights, backend()) : std::vector<float>();
    StatisticsCollector statistics = no_statistics();
    std::vector<Rotation> rotations;
    const std::size_t n_steps =
        is_behind_blocks() ? (reads_end_ ? 1 : 0) : model_.spec.steps_per_block();
    for (std::size_t step = 0; step < n_steps; ++step) {
        const Signal signal = boundary_place(model_.spec, boundary(step)).stream;
        measure(statistics, [&](const SequenceRange& batch, const SignalObserver& observe) {
            observe(signal, stream_.part(batch));
        });
        if (is_rotated(*context().job.slice, model_.spec, boundary(step))) {
            rotations.push_back(find_rotations(backend(), {statistics.gram(signal)}).front());
            cut(rotations.back(), task.widths[boundary(step)]);
        }
        measure(statistics, [&](const SequenceRange& batch, const SignalObserver& observe) {
            if (is_behind_blocks()) {
                forward_.final_norm(weights, stream_.part(batch));
                observe(Signal::head_in, stream_.part(batch));
            } else {
                take_step(weights, batch, observe);
            }
        });
        if (!is_behind_blocks()) {
            stream_.pass_step();
        }
    }
    require_finite(stream_, "of the model that is cut");
    if (!share().leads()) {
        return;
    }
    statistics.write(context().run.statistics(place()), task.statistics_fingerprint);
    if (!rotations.empty()) {
        write_rotations(context(), {place(), 0, task.rotation_fingerprint, {}}, rotations);
    }
}

LoadedWeights SequentialRotator::load() const {
    return LoadedWeights::load(model_.spec, model_.weights, backend(),
                               is_behind_blocks() ? std::nullopt : std::optional(block()));
}

StatisticsCollector SequentialRotator::no_statistics() const {
    return {backend(), context().job.slice, context().gathers_inputs(), output_norms_};
}

template <class Run>
void SequentialRotator::measure(StatisticsCollector& statistics, const Run& run) const {
    const auto add = [&](StatisticsCollector& sums, const SequenceRange& batch) {
        run(batch, [&](Signal signal, MatrixView<const float> x) { sums.add(signal, x); });
    };
    StatisticsCollector found = share().add_up([&] { return no_statistics(); }, add);
    add_sums(statistics, found);
}

void SequentialRotator::cut(const Rotation& rotation, std::size_t width) {
    const CutBasis basis(backend(), rotation, width);
    for (const SequenceRange& batch : share().batches()) {
        basis.cut(backend(), stream_.part(batch), memory_);
    }
}

void SequentialRotator::take_step(const LoadedWeights& weights, const SequenceRange& batch,
                                  const SignalObserver& observe) {
    const bool is_last = stream_.step() + 2 == n_boundaries(model_.spec);
    if (!is_last || reads_end_) {
        stream_.take_step(weights, batch, observe);
    }
}

std::string to_json(const SequentialTask& task) {
    return nlohmann::json{{"block", task.block},
                          {"widths", task.widths},
                          {"statistics", task.statistics_fingerprint},
                          {"rotation", task.rotation_fingerprint},
                          {"streams", to_text(task.streams)}}
        .dump();
}

SequentialTask sequential_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("block"), json.at("widths").get<std::vector<std::size_t>>(),
            json.at("statistics"), json.at("rotation"),
            stored_streams_from_text(json.at("streams"))};
}

}  // namespace lathe
