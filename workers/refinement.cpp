#include "workers/refinement.hpp"

#include <algorithm>
#include <functional>
#include <map>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/forward.hpp"
#include "workers/input_shift.hpp"
#include "workers/refined_weights.hpp"
#include "workers/sample_share.hpp"
#include "workers/unit_refinement.hpp"

namespace lathe {

namespace {

using HostMatrix = std::vector<float>;

HostMatrix on_host(const kernels::Backend& backend, MatrixView<const float> x) {
    HostMatrix host(x.rows * x.cols);
    backend.download(x, host.data());
    return host;
}

/// expected - found, both of the shape of `found`.
HostMatrix missing(HostMatrix expected, const kernels::Backend& backend,
                   MatrixView<const float> found) {
    std::ranges::transform(expected, on_host(backend, found), expected.begin(), std::minus<>());
    return expected;
}

/// Inputs of a step whose units can be solved at the same time: none reads what another makes.
struct Group {
    std::vector<Signal> inputs;
    bool writes = false;  ///< what the units make is added to the stream
};

/// The groups of a step in the order in which they run.
std::vector<Group> groups_of(const ModelSpec& spec, std::size_t step) {
    if (spec.form == BlockForm::parallel) {
        return {{{Signal::stream_in, Signal::attention_in, Signal::mlp_in}, false},
                {{Signal::attention_out}, true},
                {{Signal::mlp_hidden}, true}};
    }
    if (step == 0) {
        return {{{Signal::stream_in, Signal::attention_in}, false},
                {{Signal::attention_out}, true}};
    }
    return {{{Signal::stream_mid, Signal::mlp_in}, false}, {{Signal::mlp_hidden}, true}};
}

/// Sums over calibration tokens for each of some inputs.
struct Shifts {
    std::map<Signal, InputShift> of;

    /// SampleShare's sums: of each input how many, and those.
    [[nodiscard]] std::vector<double> values() const {
        std::vector<double> all;
        for (const auto& [signal, shift] : of) {
            const std::vector<double> values = shift.values();
            all.push_back(static_cast<double>(values.size()));
            all.insert(all.end(), values.begin(), values.end());
        }
        return all;
    }
    void add_values(std::span<const double> values) {
        for (auto& [signal, shift] : of) {
            const auto n = static_cast<std::size_t>(values.front());
            shift.add_values(values.subspan(1, n));
            values = values.subspan(1 + n);
        }
    }
};

}  // namespace

/// The streams of this rank's samples on their way through the model.
class Refiner::Pass {
public:
    Pass(const JobContext& context, const RefinementTask& task)
        : context_(context),
          spec_(context.spec()),
          backend_(context.backend()),
          source_(spec_, context.source->weights),
          share_(*context.world, read_samples(context.run.samples()).calibration),
          forward_(spec_, backend_, samples().max_length()),
          name_(task.name),
          source_stream_(allocate(samples().tokens())),
          stream_(allocate(samples().tokens())),
          trial_(allocate(share_.most_tokens())) {
        embed(source_, source_stream_);
        embed(PlanWeights(context, task.choice), stream_);
    }

    /// The block that the streams stand before, and the name of what they go through.
    [[nodiscard]] std::size_t block() const { return block_; }
    [[nodiscard]] const std::string& name() const { return name_; }

    /// Passes a block that is refined already.
    void repeat(const RefinementTask& task) {
        const PlanWeights refined(context_, task.choice, task.name);
        for (std::size_t step = 0; step < spec_.steps_per_block(); ++step) {
            advance(step, refined);
        }
        ++block_;
    }

    /// Refines the block and passes it.
    void run(const RefinementTask& task) {
        PartlyRefined weights(context_, task.choice);
        if (block_ == spec_.n_blocks) {
            refine_head(task, weights);
        } else {
            for (std::size_t step = 0; step < spec_.steps_per_block(); ++step) {
                for (const Group& group : groups_of(spec_, step)) {
                    refine_group(task, step, group, weights);
                }
                advance(step, weights);
            }
        }
        if (share_.leads()) {
            weights.write(context_.run.refined(task.name, refined_place(spec_, block_)),
                          task.fingerprint);
        }
        ++block_;
    }

private:
    [[nodiscard]] const TokenSequences& samples() const { return share_.samples(); }
    [[nodiscard]] kernels::Array<float> allocate(std::size_t tokens) const {
        return backend_.allocate<float>(tokens * spec_.hidden_size);
    }
    /// A batch of a stream as it is before the step. Of a sliced model it is packed at the start of
    /// the batch's memory.
    [[nodiscard]] MatrixView<float> part(const kernels::Array<float>& stream,
                                         const SequenceRange& range, std::size_t step) const {
        return {stream.data() + range.first_token * spec_.hidden_size, range.tokens,
                spec_.stream_width(block_ * spec_.steps_per_block() + step)};
    }
    [[nodiscard]] LoadedWeights load(const WeightSource& weights) const {
        if (block_ == spec_.n_blocks) {
            return LoadedWeights::load(spec_, weights, backend_, {}, forward_.head_roles());
        }
        return LoadedWeights::load(spec_, weights, backend_, block_);
    }

    void embed(const WeightSource& weights, const kernels::Array<float>& stream) {
        const LoadedWeights embedding =
            LoadedWeights::load(spec_, weights, backend_, {}, ForwardPass::embedding_roles());
        for (const SequenceRange& range : share_.batches()) {
            forward_.embed(embedding, samples().part(range), part(stream, range, 0));
        }
    }

    /// Both streams pass a step.
    void advance(std::size_t step, const WeightSource& weights) {
        const auto pass = [&](const WeightSource& from, const kernels::Array<float>& stream) {
            const LoadedWeights loaded = load(from);
            for (const SequenceRange& range : share_.batches()) {
                const MatrixView<float> after =
                    forward_.step(step, loaded, samples().part(range), part(stream, range, step));
                if (!backend_.all_finite(after)) {
                    throw DataError("the activations after " + refined_place(spec_, block_) +
                                    " of the compressed model are not finite (NaN or infinity) on "
                                    "the calibration samples");
                }
            }
        };
        pass(source_, source_stream_);
        pass(weights, stream_);
    }

    /// A copy of a batch. Valid until the next call.
    [[nodiscard]] MatrixView<float> copy_of(MatrixView<const float> x) const {
        const HostMatrix host = on_host(backend_, x);
        const MatrixView<float> copy = trial_.matrix(x.rows, x.cols);
        backend_.upload(reinterpret_cast<const std::byte*>(host.data()), DType::f32, copy);
        return copy;
    }

    /// Takes a step without moving the stream. What comes out is valid until the next one.
    MatrixView<float> try_step(std::size_t step, const LoadedWeights& weights,
                               const kernels::Array<float>& stream, const SequenceRange& range,
                               const SignalObserver& observe) {
        const MatrixView<float> hidden = copy_of(part(stream, range, step));
        observe(step == 0 ? Signal::stream_in : Signal::stream_mid, hidden);
        return forward_.step(step, weights, samples().part(range), hidden, observe);
    }

    /// The units to be refined here that read one of the signals.
    [[nodiscard]] std::vector<std::size_t> units_of(const RefinementTask& task,
                                                    const std::vector<Signal>& inputs) const {
        std::vector<std::size_t> units;
        for (std::size_t u = 0; u < spec_.units.size(); ++u) {
            const UnitSpec& unit = spec_.units[u];
            if (unit.block.value_or(spec_.n_blocks) == block_ &&
                std::ranges::count(inputs, unit.input) > 0 &&
                is_refined(spec_, unit, task.choice.at(u))) {
                units.push_back(u);
            }
        }
        return units;
    }

    void refine_group(const RefinementTask& task, std::size_t step, const Group& group,
                      PartlyRefined& weights) {
        const std::vector<std::size_t> units = units_of(task, group.inputs);
        if (units.empty()) {
            return;
        }
        const LoadedWeights source = load(source_);
        const LoadedWeights current = load(weights);
        const auto no_sums = [&] {
            Shifts shifts;
            for (const std::size_t u : units) {
                shifts.of.try_emplace(spec_.units[u].input, backend_);
            }
            return shifts;
        };
        const Shifts shifts = share_.add_up(no_sums, [&](Shifts& sums, const SequenceRange& range) {
            compare(step, group.writes, {source, current}, range, sums.of);
        });
        for (const std::size_t u : units) {
            refine_unit(context_, u, task.choice[u], shifts.of.at(spec_.units[u].input), weights);
        }
    }

    struct Models {
        const LoadedWeights& source;
        const LoadedWeights& current;
    };
    /// Adds a batch to the shifts of a step's inputs.
    void compare(std::size_t step, bool writes, const Models& models, const SequenceRange& range,
                 std::map<Signal, InputShift>& shifts) {
        // With the units that write as they are in the source, what comes out of the step lacks all
        // that they can make up for. But where a norm follows the sum, what comes out is not the
        // sum; there it is what goes in that tells, and what the units read.
        const bool sums = spec_.form != BlockForm::post_norm;
        const bool by_output = writes && sums;
        std::map<Signal, HostMatrix> inputs;
        const HostMatrix output = on_host(
            backend_, try_step(step, models.source, source_stream_, range,
                               [&](Signal signal, MatrixView<const float> x) {
                                   if (shifts.contains(signal)) {
                                       inputs.insert_or_assign(signal, on_host(backend_, x));
                                   }
                               }));
        const auto observe = [&](Signal signal, MatrixView<const float> x) {
            const auto shift = shifts.find(signal);
            if (shift == shifts.end()) {
                return;
            }
            shift->second.add(x);
            if (!by_output) {
                const HostMatrix lacks = missing(inputs.at(signal), backend_, x);
                shift->second.add_missing_input({lacks.data(), x.rows, x.cols});
            }
        };
        const MatrixView<float> after = try_step(step, models.current, stream_, range, observe);
        if (!writes) {
            return;
        }
        const MatrixView<float> before = part(stream_, range, step);
        const MatrixView<float> found = sums ? after : before;
        const HostMatrix lacks = missing(
            sums ? output : on_host(backend_, part(source_stream_, range, step)), backend_, found);
        for (auto& [signal, shift] : shifts) {
            shift.add_missing_output({lacks.data(), found.rows, found.cols});
        }
    }

    void refine_head(const RefinementTask& task, PartlyRefined& weights) {
        const std::vector<std::size_t> units = units_of(task, {Signal::head_in});
        if (units.empty()) {
            return;
        }
        const LoadedWeights source = load(source_);
        const LoadedWeights current = load(weights);
        const auto input = [&](const LoadedWeights& head, const kernels::Array<float>& stream,
                               const SequenceRange& range) {
            const MatrixView<float> hidden = copy_of(part(stream, range, 0));
            forward_.final_norm(head, hidden);
            return forward_.head_input(head, samples().part(range), hidden);
        };
        const auto no_sums = [&] { return InputShift(backend_); };
        const auto add = [&](InputShift& sums, const SequenceRange& range) {
            const HostMatrix expected = on_host(backend_, input(source, source_stream_, range));
            const MatrixView<const float> x = input(current, stream_, range);
            sums.add(x);
            const HostMatrix lacks = missing(expected, backend_, x);
            sums.add_missing_input({lacks.data(), x.rows, x.cols});
        };
        const InputShift shift = share_.add_up(no_sums, add);
        for (const std::size_t u : units) {
            refine_unit(context_, u, task.choice[u], shift, weights);
        }
    }

    const JobContext& context_;
    const ModelSpec& spec_;
    const kernels::Backend& backend_;
    SourceWeights source_;
    SampleShare share_;
    ForwardPass forward_;
    std::string name_;
    kernels::Array<float> source_stream_;  ///< [tokens of the share, hidden_size]
    kernels::Array<float> stream_;         ///< of the refined model
    kernels::Array<float> trial_;          ///< of a batch
    std::size_t block_ = 0;
};

Refiner::Refiner(const JobContext& context) : context_(context) {}
Refiner::~Refiner() = default;

void Refiner::run(const RefinementTask& task) {
    if (!pass_ || pass_->name() != task.name || pass_->block() > task.block) {
        pass_.reset();  // before memory for another is asked for
        pass_ = std::make_unique<Pass>(context_, task);
    }
    while (pass_->block() < task.block) {
        pass_->repeat(task);
    }
    pass_->run(task);
}

std::string to_json(const RefinementTask& task) {
    nlohmann::json choice = nlohmann::json::array();
    for (const Setting& setting : task.choice) {
        choice.push_back(to_string(setting));
    }
    return nlohmann::json{{"block", task.block},
                          {"choice", choice},
                          {"name", task.name},
                          {"fingerprint", task.fingerprint}}
        .dump();
}

RefinementTask refinement_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    RefinementTask task{json.at("block"), {}, json.at("name"), json.at("fingerprint")};
    for (const auto& setting : json.at("choice")) {
        task.choice.push_back(setting_from_string(setting.get<std::string>()));
    }
    return task;
}

}  // namespace lathe
