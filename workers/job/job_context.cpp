#include "workers/job/job_context.hpp"

#include <algorithm>

#include "lib/config/job_keys.hpp"
#include "methods/dense.hpp"
#include "methods/method.hpp"
#include "workers/job/job_candidates.hpp"

namespace lathe {

std::unique_ptr<JobContext> JobContext::open(const JobConfig& job, comm::Communicator& world) {
    auto context = std::make_unique<JobContext>();
    context->job = job;
    static_cast<void>(use_instruction_set(job.runtime.instruction_set));
    context->run = RunDirectory(job.output);
    context->given = SourceModel::open(job.model, job.reading);
    context->source = context->given;
    complete_candidates(context->job, context->given->weights.tensor_bytes(),
                        context->given->spec.parameters());
    context->settings = expand_candidates(context->job.candidates);
    context->world = &world;
    if (job.slice) {
        context->fused = std::make_shared<FusedModel>(*context->given);
    }
    context->device =
        std::make_shared<Device>(Device::open(job.runtime.backend, job.runtime.threads, world));
    return context;
}

std::unique_ptr<SourceModel> JobContext::open_model() const {
    // What `ignore` passes over is not in a sliced model.
    return job.slice ? SourceModel::open(run.sliced(), {{}, job.reading.allow_nan_rows})
                     : SourceModel::open(job.model, job.reading);
}

std::unique_ptr<JobContext> JobContext::of_sliced_model() const {
    auto context = std::make_unique<JobContext>(*this);
    if (job.slice) {
        context->source = open_model();
    }
    return context;
}

namespace {

/// What counts as a neuron's energy: its score; the second moment where that is no number.
std::string energy_name(const JobConfig& job) {
    using Score = FfsplitConfig::Score;
    const Score score = job.ffsplit.value_or(FfsplitConfig{}).score;
    const bool is_number = score != Score::random && score != Score::removal;
    return std::string(
        neuron_score_names.at(static_cast<std::size_t>(is_number ? score : Score::second_moment)));
}

}  // namespace

std::unique_ptr<JobContext> JobContext::of_compressed_model() const {
    if (!orders_neurons()) {
        return of_sliced_model();
    }
    auto context = std::make_unique<JobContext>(*this);
    std::unique_ptr<SourceModel> model = open_model();
    model->neuron_orders = read_neuron_orders(run, model->spec);
    model->held_energy = read_held_shares(run, model->neuron_orders, energy_name(job));
    context->source = std::move(model);
    return context;
}

bool JobContext::orders_neurons() const {
    return job.ffsplit || std::ranges::any_of(settings, [](const Setting& s) {
               return find_method(s.method, "candidates").orders_neurons;
           });
}

bool JobContext::has_open_bytes() const {
    return std::ranges::any_of(settings, is_open);
}

bool JobContext::changes_weights() const {
    return std::ranges::any_of(settings, [](const Setting& s) { return s != source_setting(); });
}

}  // namespace lathe
