#include "workers/candidates/refinement.hpp"

#include <algorithm>

#include "lib/core/json.hpp"
#include "workers/candidates/plan_weights.hpp"
#include "workers/candidates/unit_refinement.hpp"

namespace lathe {

namespace {

using HostMatrix = std::vector<float>;

/// Shifts of some inputs as sums to be shared: their shapes, each of the same length.
struct ShiftSums {
    std::map<Signal, InputShift> of;

    [[nodiscard]] std::vector<double> shape() const {
        std::vector<double> all;
        for (const auto& [signal, shift] : of) {
            const std::vector<double> own = shift.shape();
            all.insert(all.end(), own.begin(), own.end());
        }
        return all;
    }
    [[nodiscard]] std::vector<SumArray> arrays(std::span<const double> shape) {
        const std::size_t length = shape.size() / of.size();
        std::vector<SumArray> all;
        for (auto& [signal, shift] : of) {
            const std::vector<SumArray> own = shift.arrays(shape.first(length));
            all.insert(all.end(), own.begin(), own.end());
            shape = shape.subspan(length);
        }
        return all;
    }
};

}  // namespace

std::vector<Refiner::Group> Refiner::groups_of(const ModelSpec& spec, std::size_t step) {
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

Refiner::Refiner(const JobContext& context, const RefinementTask& first)
    : Chain(context, first.streams),
      spec_(context.spec()),
      source_(*context.source),
      forward_(spec_, context.backend(), samples().max_length()),
      name_(first.name),
      source_stream_(make_stream(forward_)),
      stream_(make_stream(forward_)),
      trial_(context.backend().allocate<float>(share().most_tokens() * spec_.hidden_size)) {
    begin({&source_stream_, &stream_}, [&] {
        source_stream_.embed(source_);
        stream_.embed(PlanWeights(context, first.choice));
    });
}

bool Refiner::is_of_this_chain(const RefinementTask& task) const {
    return task.name == name_;
}

void Refiner::repeat_block(const RefinementTask& task) {
    const PlanWeights refined(context(), task.choice, task.name);
    for (std::size_t step = 0; step < spec_.steps_per_block(); ++step) {
        advance(refined);
    }
}

void Refiner::work_on_block(const RefinementTask& task) {
    PartlyRefined weights(context(), task.choice);
    if (context().weighs_tokens()) {
        token_weights_ = TokenWeights::read(
            context().run, spec_, is_behind_blocks() ? std::nullopt : std::optional(block()),
            share().n_batches());
    }
    if (is_behind_blocks()) {
        refine_head(task, weights);
    } else {
        for (std::size_t step = 0; step < spec_.steps_per_block(); ++step) {
            for (const Group& group : groups_of(spec_, step)) {
                refine_group(task, group, weights);
            }
            advance(weights);
        }
    }
    if (share().leads()) {
        weights.write(context().run.refined(task.name, place()), task.fingerprint);
    }
}

LoadedWeights Refiner::load(const WeightSource& weights) const {
    if (is_behind_blocks()) {
        return LoadedWeights::load(spec_, weights, backend(), {}, forward_.head_roles());
    }
    return LoadedWeights::load(spec_, weights, backend(), block());
}

void Refiner::advance(const WeightSource& weights) {
    source_stream_.take_step(load(source_));
    stream_.take_step(load(weights));
    require_finite(source_stream_, "of the source model");
    require_finite(stream_, "of the compressed model");
}

std::vector<std::size_t> Refiner::units_of(const RefinementTask& task,
                                           const std::vector<Signal>& inputs) const {
    std::vector<std::size_t> units;
    for (std::size_t u = 0; u < spec_.units.size(); ++u) {
        const UnitSpec& unit = spec_.units[u];
        if (unit.block.value_or(spec_.n_blocks) == block() &&
            std::ranges::count(inputs, unit.input) > 0 &&
            is_refined(spec_, unit, task.choice.at(u))) {
            units.push_back(u);
        }
    }
    return units;
}

void Refiner::refine_group(const RefinementTask& task, const Group& group, PartlyRefined& weights) {
    const std::vector<std::size_t> units = units_of(task, group.inputs);
    if (units.empty()) {
        return;
    }
    const LoadedWeights source = load(source_);
    const LoadedWeights current = load(weights);
    const auto no_sums = [&] {
        ShiftSums sums;
        for (const std::size_t u : units) {
            sums.of.try_emplace(spec_.units[u].input, backend());
        }
        return sums;
    };
    const auto add = [&](ShiftSums& sums, const SequenceRange& batch) {
        compare(group, {source, current}, batch, sums.of);
    };
    const ShiftSums shifts = share().add_up(no_sums, add);
    for (const std::size_t u : units) {
        refine_unit(context(), u, task.choice[u], shifts.of.at(spec_.units[u].input), weights);
    }
}

void Refiner::compare(const Group& group, const Models& models, const SequenceRange& batch,
                      Shifts& shifts) const {
    // With the units that write as they are in the source, what comes out of the step lacks all
    // that they can make up for. But where a norm follows the sum, what comes out is not the
    // sum; there it is what goes in that tells, and what the units read.
    const bool sums = spec_.form != BlockForm::post_norm;
    const bool by_output = group.writes && sums;
    std::map<Signal, HostMatrix> inputs;
    const auto keep = [&](Signal signal, MatrixView<const float> x) {
        if (shifts.contains(signal)) {
            inputs.insert_or_assign(signal, backend().to_host(x));
        }
    };
    const HostMatrix output =
        backend().to_host(source_stream_.try_step(models.source, batch, trial_, keep));
    const auto observe = [&](Signal signal, MatrixView<const float> x) {
        const auto shift = shifts.find(signal);
        if (shift == shifts.end()) {
            return;
        }
        shift->second.add(x, token_weights_.factors(signal, share().number_of(batch)));
        if (!by_output) {
            const HostMatrix lacks = missing_values(inputs.at(signal), x, backend());
            shift->second.add_missing_input({lacks.data(), x.rows, x.cols});
        }
    };
    const MatrixView<float> after = stream_.try_step(models.current, batch, trial_, observe);
    if (!group.writes) {
        return;
    }
    const MatrixView<float> found = sums ? after : stream_.part(batch);
    const HostMatrix lacks = missing_values(
        sums ? output : backend().to_host(source_stream_.part(batch)), found, backend());
    for (auto& [signal, shift] : shifts) {
        shift.add_missing_output({lacks.data(), found.rows, found.cols});
    }
}

void Refiner::refine_head(const RefinementTask& task, PartlyRefined& weights) {
    const std::vector<std::size_t> units = units_of(task, {Signal::head_in});
    if (units.empty()) {
        return;
    }
    const LoadedWeights source = load(source_);
    const LoadedWeights current = load(weights);
    const auto input = [&](const LoadedWeights& head, const ResidualStream& stream,
                           const SequenceRange& batch) {
        const MatrixView<float> from = stream.part(batch);
        const MatrixView<float> hidden = trial_.matrix(from.rows, from.cols);
        backend().copy<float>(from, hidden);
        forward_.final_norm(head, hidden);
        return forward_.head_input(head, samples().part(batch), hidden);
    };
    const auto add = [&](InputShift& sums, const SequenceRange& batch) {
        const HostMatrix expected = backend().to_host(input(source, source_stream_, batch));
        const MatrixView<const float> x = input(current, stream_, batch);
        sums.add(x, token_weights_.factors(Signal::head_in, share().number_of(batch)));
        const HostMatrix lacks = missing_values(expected, x, backend());
        sums.add_missing_input({lacks.data(), x.rows, x.cols});
    };
    const InputShift shift = share().add_up([&] { return InputShift(backend()); }, add);
    for (const std::size_t u : units) {
        refine_unit(context(), u, task.choice[u], shift, weights);
    }
}

std::string to_json(const RefinementTask& task) {
    return nlohmann::json{{"block", task.block},
                          {"choice", choice_to_json(task.choice)},
                          {"name", task.name},
                          {"fingerprint", task.fingerprint},
                          {"streams", to_text(task.streams)}}
        .dump();
}

RefinementTask refinement_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("block"), choice_from_json(json.at("choice").get<std::string>()),
            json.at("name"), json.at("fingerprint"), stored_streams_from_text(json.at("streams"))};
}

}  // namespace lathe
