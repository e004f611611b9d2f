#include "workers/job/job_context.hpp"

#include <algorithm>

#include "lib/config/default_candidates.hpp"
#include "lib/config/job_keys.hpp"
#include "methods/dense.hpp"
#include "methods/method.hpp"

namespace lathe {

std::unique_ptr<JobContext> JobContext::open(const JobConfig& job, comm::Communicator& world) {
    auto context = std::make_unique<JobContext>();
    context->job = job;
    static_cast<void>(use_instruction_set(job.runtime.instruction_set));
    context->run = RunDirectory(job.output);
    context->given = SourceModel::open(job.model, job.reading);
    context->source = context->given;
    if (job.candidates.empty() && job.serve) {
        context->job.candidates = served_candidates(*job.serve);
    } else if (job.candidates.empty()) {
        const std::uint64_t parameters = context->given->spec.parameters();
        const std::uint64_t limit =
            job.budget.limit_bytes(context->given->weights.tensor_bytes(), parameters);
        context->job.candidates =
            default_candidates(8.0 * static_cast<double>(limit) / static_cast<double>(parameters));
    }
    if (job.serve) {
        state_scale_bits(*job.serve, context->job.candidates);
    }
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

/// What counts as a neuron's energy: its score. A random order has the second moments.
std::string energy_name(const JobConfig& job) {
    using Score = FfsplitConfig::Score;
    const Score score = job.ffsplit.value_or(FfsplitConfig{}).score;
    return std::string(neuron_score_names.at(
        static_cast<std::size_t>(score == Score::random ? Score::second_moment : score)));
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
