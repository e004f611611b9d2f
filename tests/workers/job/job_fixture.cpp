#include "tests/workers/job/job_fixture.hpp"

#include <random>

#include <unistd.h>

#include "lib/core/file.hpp"
#include "workers/calibration/calibration.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/statistics/neuron_ranking.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;

/// Sequences of 16 tokens, but for a classifier of 4 to 19, as texts are.
TokenSequences random_samples(std::size_t count, const ModelSpec& spec, unsigned seed) {
    std::mt19937 random(seed);
    TokenSequences samples;
    for (std::size_t s = 0; s < count; ++s) {
        const bool is_text = spec.head == HeadKind::classifier;
        std::vector<std::uint32_t> ids(is_text ? 4 + random() % 16 : 16);
        for (std::uint32_t& id : ids) {
            id = static_cast<std::uint32_t>(random() % spec.vocab_size);
        }
        samples.append(ids);
    }
    return samples;
}

}  // namespace

SmallJob::SmallJob(const std::string& model, CalibrationConfig::Precision precision,
                   std::optional<FfsplitConfig> ffsplit)
    : world_(comm::make_local_communicator()) {
    JobConfig job;
    job.calibration.precision = precision;
    job.ffsplit = ffsplit;
    job.model = fs::path(LATHE_SOURCE_DIR) / "tests/data/parity" / model;
    job.output =
        fs::temp_directory_path() / ("lathe_small_job_" + std::to_string(::getpid()) + "_" + model +
                                     std::to_string(static_cast<int>(precision)));
    CandidateEntry entry;
    entry.method = "integer";
    entry.keys = {{"num_bits", {"3"}, {}}, {"solver", {"rtn"}, {}}, {"group_size", {"16"}, {}}};
    job.candidates = {entry};
    context_ = JobContext::open(job, *world_);
    samples_ = {random_samples(20, context_->spec(), 1), random_samples(6, context_->spec(), 2)};
}

SmallJob::~SmallJob() {
    fs::remove_all(context_->run.root());
}

void SmallJob::prepare() {
    for (const char* folder : {"candidates", "calibration", "neurons", "search"}) {
        make_directories(context_->run.root() / folder);
    }
    write_samples(samples_, context_->run.samples(), "samples");
    Calibrator calibrator(*context_);
    const std::size_t last = context_->spec().n_blocks;
    for (std::size_t b = 0; b <= last; ++b) {
        CalibrationTask task;
        task.block = b;
        task.from = b == 0 ? -1 : 0;
        task.to = b == last ? -1 : 0;
        task.fingerprint = "statistics";
        calibrator.run(task);
    }
    for (std::size_t b = 0; b < last && context_->orders_neurons(); ++b) {
        run_neuron_ranking(*context_, {b, 0, "neurons"});
    }
    compressed_ = context_->of_compressed_model();
    for (std::size_t u = 0; u < context_->spec().units.size(); ++u) {
        run_compression(*compressed_, {u, usable_settings(*compressed_, u), "candidates"});
    }
}

Setting SmallJob::rounded() const {
    for (const Setting& setting : context_->settings) {
        if (setting.method == "integer") {
            return setting;
        }
    }
    return {};
}

std::vector<Setting> SmallJob::plan_of(const Setting& setting) const {
    std::vector<Setting> choice(context_->spec().units.size(), setting);
    choice.push_back(source_setting());
    return choice;
}

}  // namespace lathe
