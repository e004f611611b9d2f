#include "workers/sequential_rotation.hpp"

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/forward.hpp"
#include "workers/fused_weights.hpp"
#include "workers/rotation.hpp"
#include "workers/sample_share.hpp"
#include "workers/signal_statistics.hpp"

namespace lathe {

/// The stream of this rank's samples on its way through the model, at full width and in the
/// source's basis: to cut it is to project it.
class SequentialRotator::Pass {
public:
    explicit Pass(const JobContext& context)
        : context_(context),
          model_(*context.fused),
          share_(*context.world, read_samples(context.run.samples()).calibration),
          forward_(model_.spec, context.backend(), share_.samples().max_length()),
          stream_(context.backend().allocate<float>(share_.samples().tokens() *
                                                    model_.spec.hidden_size)) {
        forward_.use_bf16(context.calibrates_in_bf16());
        const LoadedWeights embedding =
            LoadedWeights::load(model_.spec, model_.weights, context.backend(), std::nullopt,
                                ForwardPass::embedding_roles());
        for (const SequenceRange& batch : share_.batches()) {
            forward_.embed(embedding, share_.samples().part(batch), part(batch));
        }
    }

    /// The block that the stream stands before.
    [[nodiscard]] std::size_t block() const { return block_; }

    /// Passes the block, cut by rotations that are there.
    void repeat(const SequentialTask& task) {
        const LoadedWeights weights = load();
        for (std::size_t step = 0; step < model_.spec.steps_per_block(); ++step) {
            cut(read_rotation(context_, boundary(step), 0), task.widths[boundary(step)]);
            for (const SequenceRange& batch : share_.batches()) {
                take_step(step, weights, batch, {});
            }
        }
        ++block_;
    }

    /// Finds the rotations and passes the block.
    void run(const SequentialTask& task) {
        const bool is_head = block_ == model_.spec.n_blocks;
        const std::string place = boundary_place(model_.spec, boundary(0)).name;
        const LoadedWeights weights = load();
        StatisticsCollector statistics = no_statistics();
        std::vector<Rotation> rotations;
        const std::size_t n_steps = is_head ? (reads_end_ ? 1 : 0) : model_.spec.steps_per_block();
        for (std::size_t step = 0; step < n_steps; ++step) {
            const Signal signal = boundary_place(model_.spec, boundary(step)).stream;
            measure(statistics, [&](const SequenceRange& batch, const SignalObserver& observe) {
                observe(signal, part(batch));
            });
            if (is_rotated(*context_.job.slice, model_.spec, boundary(step))) {
                rotations.push_back(
                    find_rotations(context_.backend(), {statistics.gram(signal)}).front());
                cut(rotations.back(), task.widths[boundary(step)]);
            }
            measure(statistics, [&](const SequenceRange& batch, const SignalObserver& observe) {
                if (is_head) {
                    forward_.final_norm(weights, part(batch));
                    observe(Signal::head_in, part(batch));
                } else {
                    take_step(step, weights, batch, observe);
                }
            });
        }
        require_finite(place);
        ++block_;
        if (!share_.leads()) {
            return;
        }
        statistics.write(context_.run.statistics(place), task.statistics_fingerprint);
        if (!rotations.empty()) {
            write_rotations(context_, {place, 0, task.rotation_fingerprint, {}}, rotations);
        }
    }

private:
    [[nodiscard]] std::size_t boundary(std::size_t step) const {
        return block_ * model_.spec.steps_per_block() + step;
    }

    [[nodiscard]] LoadedWeights load() const {
        if (block_ == model_.spec.n_blocks) {
            return LoadedWeights::load(model_.spec, model_.weights, context_.backend(),
                                       std::nullopt, {});
        }
        return LoadedWeights::load(model_.spec, model_.weights, context_.backend(), block_);
    }

    [[nodiscard]] MatrixView<float> all() const {
        return stream_.matrix(share_.samples().tokens(), model_.spec.hidden_size);
    }
    [[nodiscard]] MatrixView<float> part(const SequenceRange& batch) const {
        return all().row_range(batch.first_token, batch.tokens);
    }

    [[nodiscard]] StatisticsCollector no_statistics() const {
        return {context_.backend(), context_.job.slice, context_.changes_weights()};
    }
    /// Adds what run(batch, observe) shows of the batches of all ranks.
    template <class Run>
    void measure(StatisticsCollector& statistics, const Run& run) const {
        const auto add = [&](StatisticsCollector& sums, const SequenceRange& batch) {
            run(batch, [&](Signal signal, MatrixView<const float> x) { sums.add(signal, x); });
        };
        statistics.add_values(share_.add_up([&] { return no_statistics(); }, add).values());
    }

    void cut(const Rotation& rotation, std::size_t width) {
        const CutBasis basis(context_.backend(), rotation, width);
        for (const SequenceRange& batch : share_.batches()) {
            basis.cut(context_.backend(), part(batch), memory_);
        }
    }

    void take_step(std::size_t step, const LoadedWeights& weights, const SequenceRange& batch,
                   const SignalObserver& observe) {
        const bool is_last = boundary(step) + 2 == n_boundaries(model_.spec);
        if (!is_last || reads_end_) {
            forward_.step(step, weights, share_.samples().part(batch), part(batch), observe);
        }
    }

    void require_finite(const std::string& place) const {
        if (!context_.backend().all_finite(all())) {
            throw DataError("the activations after " + place +
                            " are not finite (NaN or infinity) on the calibration samples");
        }
    }

    const JobContext& context_;
    const FusedModel& model_;
    const bool reads_end_ = reads_stream_end(context_);
    SampleShare share_;
    ForwardPass forward_;
    kernels::Array<float> stream_;  ///< [tokens of the share, hidden_size]
    kernels::Array<float> memory_;  ///< for cuts
    std::size_t block_ = 0;
};

SequentialRotator::SequentialRotator(const JobContext& context) : context_(context) {}
SequentialRotator::~SequentialRotator() = default;

void SequentialRotator::run(const SequentialTask& task) {
    if (!pass_ || pass_->block() > task.block) {
        pass_ = std::make_unique<Pass>(context_);
    }
    while (pass_->block() < task.block) {
        pass_->repeat(task);
    }
    pass_->run(task);
}

std::string to_json(const SequentialTask& task) {
    return nlohmann::json{{"block", task.block},
                          {"widths", task.widths},
                          {"statistics", task.statistics_fingerprint},
                          {"rotation", task.rotation_fingerprint}}
        .dump();
}

SequentialTask sequential_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("block"), json.at("widths").get<std::vector<std::size_t>>(),
            json.at("statistics"), json.at("rotation")};
}

}  // namespace lathe
