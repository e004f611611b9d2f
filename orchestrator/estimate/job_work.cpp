#include "orchestrator/estimate/job_work.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "orchestrator/estimate/model_sums.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/calibration/output_gradients.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/chain/sample_share.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

constexpr std::size_t probed_tokens = 2048;    // orchestrator/search/scores.cpp
constexpr std::size_t screened_tokens = 512;   // orchestrator/search/search_stage.cpp
constexpr std::size_t plans_of_knapsacks = 4;  // two ways to score, exact and greedy

/// Sequences of which nothing but the lengths matters.
TokenSequences sequences(std::size_t n, std::size_t length) {
    TokenSequences all;
    all.lengths.assign(n, static_cast<std::uint32_t>(length));
    return all;
}

/// Of each range of at most so many tokens: how many it has.
std::vector<std::size_t> ranges_of(std::size_t n, std::size_t length, std::size_t most) {
    std::vector<std::size_t> tokens;
    for (const SequenceRange& range : sequences(n, length).ranges(most)) {
        tokens.push_back(range.tokens);
    }
    return tokens;
}

WorkTask task_of(const char* stage, std::string id, double cost, const Work& work) {
    WorkTask task;
    task.task.stage = stage;
    task.task.id = std::move(id);
    task.task.cost = cost;
    task.work = work;
    return task;
}

class JobList {
public:
    JobList(const JobOutline& outline, int n_ranks)
        : n_ranks_(n_ranks),
          outline_(outline),
          job_(outline.job),
          spec_(outline.spec()),
          length_(outline.length()),
          tokens_(static_cast<double>(job_.calibration.num_calibration_samples * length_)),
          block_weights_(block_weights(spec_)),
          grams_(gram_elements(spec_)),
          hidden_(static_cast<double>(spec_.hidden_size)),
          n_blocks_(static_cast<double>(spec_.n_blocks)),
          block_flops_(block_flops(spec_, static_cast<double>(length_))),
          source_bytes_(static_cast<double>(outline.source_bytes)),
          plan_bytes_(static_cast<double>(outline.budget_bytes())) {
        for (const UnitSpec& unit : spec_.units) {
            double elements = 0.0;
            for (const std::size_t t : unit.tensors) {
                elements += static_cast<double>(element_count(spec_.tensors[t].shape));
            }
            unit_elements_.push_back(elements);
        }
    }

    std::vector<WorkCall> list() {
        calibrate();
        compress();
        if (job_.search.scores != SearchConfig::Scores::divergence) {
            gradients();
        }
        search();
        if (job_.refine != RefineMode::none) {
            refine();
        }
        assemble();
        evaluate();
        if (!job_.exports.empty()) {
            export_formats();
        }
        return std::move(calls_);
    }

private:
    WorkCall& add(const char* stage, double rank_bytes) {
        calls_.emplace_back().stage = stage;
        calls_.back().working_set = source_bytes_ + plan_bytes_;
        calls_.back().rank_bytes = rank_bytes;
        return calls_.back();
    }

    [[nodiscard]] double bytes_of_element() const {
        return source_bytes_ / static_cast<double>(spec_.parameters());
    }

    void calibrate() {
        // A block in fp32, its Gram matrices in fp64, the stream of all samples twice.
        WorkCall& call = add("calibrate", 4 * block_weights_ + 8 * grams_ + 8 * tokens_ * hidden_);
        call.is_pipeline = true;
        const auto batches =
            ranges_of(job_.calibration.num_calibration_samples, length_, tokens_per_batch);
        call.batches = batches.size();
        call.message_bytes = 4.0 * static_cast<double>(batches.front()) * hidden_;
        for (std::size_t b = 0; b <= spec_.n_blocks; ++b) {
            const bool is_head = b == spec_.n_blocks;
            Work work;
            work.forward = is_head ? 0.0 : tokens_ * block_flops_;
            work.gram = tokens_ * (is_head ? hidden_ * hidden_ : grams_);
            work.read = is_head ? 0.0 : block_weights_ * bytes_of_element();
            work.written = 4.0 * (is_head ? hidden_ * hidden_ : grams_);
            call.tasks.push_back(
                task_of(stage::calibrate, "calibrate/" + place_name(b, spec_.n_blocks), 1.0, work));
        }
    }

    /// Of one setting after another, and the costliest alone.
    [[nodiscard]] std::pair<double, double> solver_flops(std::size_t unit) const {
        double all = 0.0;
        double most = 0.0;
        for (const Setting& setting : outline_.settings[unit]) {
            const double flops = predicted_flops(outline_.model, unit, setting);
            all += flops;
            most = std::max(most, flops);
        }
        return {all, most};
    }

    void compress() {
        const double largest = *std::ranges::max_element(unit_elements_);
        const auto n_settings = static_cast<double>(outline_.n_settings);
        WorkCall& call = add("compress", (24 + 6 * n_settings) * largest + 40 * grams_);
        for (std::size_t u = 0; u < spec_.units.size(); ++u) {
            const UnitSpec& unit = spec_.units[u];
            const std::vector<Setting>& settings = outline_.settings[u];
            Work work;
            work.solve = solver_flops(u).first;
            const auto width =
                static_cast<double>(spec_.tensors[unit.tensors.front()].shape.back());
            work.read = unit_elements_[u] * bytes_of_element() + 4.0 * width * width;
            for (const Setting& setting : settings) {
                work.written +=
                    setting == source_setting()
                        ? 0.0
                        : static_cast<double>(predicted_bytes(outline_.model, u, setting));
            }
            call.tasks.push_back(task_of(stage::compress, "compress/" + unit.name,
                                         compression_cost(spec_, unit, settings.size()), work));
        }
    }

    void gradients() {
        // Forwards, each block once more, and backwards by inputs alone: four times a pass.
        WorkCall& call = add("gradients", 4 * block_weights_ + 8 * tokens_ * hidden_);
        const double part = std::min(tokens_, static_cast<double>(gradient_tokens));
        const auto n = static_cast<std::size_t>(
            std::ceil(part / static_cast<double>(std::max(length_, tokens_per_batch))));
        for (std::size_t b = 0; b < n; ++b) {
            Work work;
            work.forward = part / static_cast<double>(n) * 4.0 *
                           forward_flops(spec_, static_cast<double>(length_), true);
            work.reread = 2.0 * source_bytes_;
            call.tasks.push_back(
                task_of(stage::gradients, fmt::format("gradients/{}", b), 1.0, work));
        }
    }

    /// Final states of the source model on some tokens.
    [[nodiscard]] WorkTask reference(std::string id, double tokens) const {
        Work work;
        work.forward = tokens * n_blocks_ * block_flops_;
        work.reread = source_bytes_;
        work.written = 4.0 * tokens * hidden_;
        return task_of(stage::reference, std::move(id), tokens, work);
    }

    [[nodiscard]] WorkTask plan_task(std::string id, double tokens) const {
        Work work;  // logits of both models
        work.forward = tokens * (n_blocks_ * block_flops_ + 2.0 * head_flops(spec_));
        work.reread = plan_bytes_ + 4.0 * tokens * hidden_;
        return task_of(stage::evaluate_plan, std::move(id), tokens, work);
    }

    [[nodiscard]] std::size_t block_of(std::size_t unit) const {
        return spec_.units[unit].block.value_or(spec_.n_blocks);
    }

    /// Variants that change one unit each, on so many tokens.
    [[nodiscard]] WorkTask variants(std::string id, const std::vector<std::size_t>& changed,
                                    double tokens, double base_bytes) const {
        // The plan's own stream goes on to the last change; if the variants are compared with it,
        // to the end.
        const bool is_reference = base_bytes == source_bytes_;
        double walked = 0.0;
        double of_plan = is_reference ? n_blocks_ : 0.0;
        Work work;
        work.reread = base_bytes;
        for (const std::size_t unit : changed) {
            const bool is_first = spec_.units[unit].block == std::nullopt &&
                                  spec_.units[unit].input == Signal::token_ids;
            const double first = is_first ? 0.0 : static_cast<double>(block_of(unit));
            walked += n_blocks_ - first;
            of_plan = std::max(of_plan, first);
            work.reread +=
                unit_elements_[unit] * plan_bytes_ / static_cast<double>(spec_.parameters());
        }
        walked += of_plan;
        work.forward = tokens * (walked * block_flops_ +
                                 static_cast<double>(1 + changed.size()) * head_flops(spec_));
        return task_of(stage::variants, std::move(id),
                       variants_cost(spec_.units.size(), changed, static_cast<std::size_t>(tokens)),
                       work);
    }

    /// `changed`: of each variant the unit.
    void add_variants(const std::string& name, const std::vector<std::size_t>& changed,
                      std::size_t samples, double base_bytes) {
        WorkCall& call = add("search", search_bytes());
        const auto parts = ranges_of(samples, length_, tokens_per_variants_task);
        const std::size_t per_task = variants_per_task(changed.size(), parts.size(), n_ranks_);
        for (std::size_t first = 0; first < changed.size(); first += per_task) {
            const auto begin = changed.begin() + static_cast<std::ptrdiff_t>(first);
            const std::size_t count = std::min(per_task, changed.size() - first);
            for (std::size_t p = 0; p < parts.size(); ++p) {
                call.tasks.push_back(variants(fmt::format("variants/{}/{}/{}", name, first, p),
                                              {begin, begin + static_cast<std::ptrdiff_t>(count)},
                                              static_cast<double>(parts[p]), base_bytes));
            }
        }
    }

    /// A block in fp32, a residual stream a variant, logits twice.
    [[nodiscard]] double search_bytes() const {
        const auto tokens = static_cast<double>(std::max(length_, tokens_per_variants_task));
        return 4 * block_weights_ + 4 * tokens * hidden_ * (1.0 + most_variants_per_task) +
               8 * tokens * static_cast<double>(spec_.n_outputs());
    }

    void search() {
        std::vector<std::size_t> probes;
        for (std::size_t u = 0; u < spec_.units.size(); ++u) {
            probes.insert(probes.end(), outline_.settings[u].size() > 1 ? 2 : 1, u);
        }
        const std::size_t probed = std::min(job_.search.num_evaluation_samples,
                                            std::max<std::size_t>(1, probed_tokens / length_));
        add_variants("probes", probes, probed, source_bytes_);
        measure("plans", plans_of_knapsacks + outline_.n_settings);
        if (job_.search.strategy == SearchConfig::Strategy::evolution) {
            evolve();
        }
    }

    /// Tokens of the chunks that plans are measured on.
    [[nodiscard]] std::vector<std::size_t> chunks_for(std::size_t n_plans) const {
        constexpr std::size_t plenty = std::size_t{1} << 24;  // of tokens: no need for more chunks
        const std::size_t n = job_.search.num_evaluation_samples;
        if (n * length_ > plenty) {
            return ranges_of(n, length_, tokens_per_evaluation_task);
        }
        TokenSequences samples = sequences(n, length_);
        samples.ids.resize(n * length_);
        std::vector<std::size_t> tokens;
        for (const TokenSequences& chunk :
             evaluation_chunks(samples, chunks_wanted(n_plans, n_ranks_))) {
            tokens.push_back(chunk.tokens());
        }
        return tokens;
    }

    void measure(const std::string& name, std::size_t n_plans) {
        const std::vector<std::size_t> chunks = chunks_for(n_plans);
        if (cuts_.insert(chunks.size()).second) {
            WorkCall& references = add("search", search_bytes());
            for (std::size_t c = 0; c < chunks.size(); ++c) {
                references.tasks.push_back(
                    reference(fmt::format("reference/{}of{}", c, chunks.size()),
                              static_cast<double>(chunks[c])));
            }
        }
        WorkCall& call = add("search", search_bytes());
        for (std::size_t p = 0; p < n_plans; ++p) {
            for (std::size_t c = 0; c < chunks.size(); ++c) {
                call.tasks.push_back(plan_task(fmt::format("search/{}/{}/{}", name, p, c),
                                               static_cast<double>(chunks[c])));
            }
        }
    }

    void evolve() {
        const std::size_t n_parts =
            ranges_of(job_.search.num_evaluation_samples, length_, screened_tokens).size();
        const std::size_t samples = std::max<std::size_t>(1, screened_tokens / length_);
        std::vector<std::size_t> changed;  // spread over the blocks; the parent changes nothing
        for (std::size_t v = 0; v <= job_.search.offspring; ++v) {
            changed.push_back(v * (spec_.units.size() - 1) / (job_.search.offspring + 1));
        }
        // Made ahead, side by side, as far as there are ranks.
        const std::size_t n_used = std::min(n_parts, job_.search.generations);
        const std::size_t n_ahead =
            n_ranks_ > 1 ? std::min(n_used, static_cast<std::size_t>(n_ranks_)) : 0;
        add("search", search_bytes());
        for (std::size_t part = 0; part < n_ahead; ++part) {
            calls_.back().tasks.push_back(part_reference(part, samples));
        }
        for (std::size_t g = 0; g < job_.search.generations; ++g) {
            if (g >= n_ahead && g < n_used) {
                add("search", search_bytes()).tasks.push_back(part_reference(g, samples));
            }
            add_variants(fmt::format("generation_{}", g), changed, samples, plan_bytes_);
            measure(fmt::format("generation_{}", g), 2);
        }
    }

    [[nodiscard]] WorkTask part_reference(std::size_t part, std::size_t samples) const {
        return reference(fmt::format("reference/part_{}", part),
                         static_cast<double>(samples * length_));
    }

    void refine() {
        const double largest = *std::ranges::max_element(unit_elements_);
        WorkCall& call =
            add("refine", 8 * tokens_ * hidden_ + 30 * largest + 8 * block_weights_ + 120 * grams_);
        call.parts =
            SampleShare::n_parts(sequences(job_.calibration.num_calibration_samples, length_));
        call.message_bytes = 8.0 * 2.0 * grams_;
        std::vector<double> solvers(spec_.n_blocks + 1, 0.0);
        for (std::size_t u = 0; u < spec_.units.size(); ++u) {
            solvers[block_of(u)] += solver_flops(u).second;
        }
        for (std::size_t b = 0; b <= spec_.n_blocks; ++b) {
            const bool is_head = b == spec_.n_blocks;
            // Two streams, each three times through a step; Gram matrices of two inputs.
            Work work;
            work.forward = is_head ? 0.0 : 6.0 * tokens_ * block_flops_;
            work.gram = 2.0 * tokens_ * (is_head ? hidden_ * hidden_ : grams_);
            WorkTask task =
                task_of(stage::refine, "refine/" + place_name(b, spec_.n_blocks), 1.0, work);
            task.task.rank = all_ranks;
            task.repeated.solve = solvers[b];
            task.repeated.reread = is_head ? 0.0 : 2.0 * block_weights_ * bytes_of_element();
            call.tasks.push_back(std::move(task));
        }
        measure("refined", 1);
    }

    void assemble() {
        WorkCall& call = add("assemble", 2 * block_weights_ * bytes_of_element());
        for (std::size_t b = 0; b <= spec_.n_blocks; ++b) {
            Work work;
            work.read = plan_bytes_ / (n_blocks_ + 1.0);
            work.written = work.read;
            call.tasks.push_back(
                task_of(stage::assemble, "assemble/" + place_name(b, spec_.n_blocks), 1.0, work));
        }
        add("verify", 2 * block_weights_ * bytes_of_element()).alone.read = plan_bytes_;
    }

    void evaluate() {
        if (outline_.evaluated_tokens == 0) {
            return;
        }
        WorkCall& call = add("evaluate", search_bytes());
        const auto chunks = ranges_of(
            static_cast<std::size_t>(std::ceil(static_cast<double>(outline_.evaluated_tokens) /
                                               static_cast<double>(length_))),
            length_, tokens_per_evaluation_task);
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            const auto tokens = static_cast<double>(chunks[c]);
            Work work;  // of source and checkpoint
            work.forward = 2.0 * tokens * forward_flops(spec_, static_cast<double>(length_), true);
            work.reread = source_bytes_ + plan_bytes_;
            call.tasks.push_back(
                task_of(stage::evaluate, fmt::format("evaluate/{}", c), tokens, work));
        }
    }

    void export_formats() {
        for (const std::string& format : job_.exports) {
            const double bytes = format == "hf" ? source_bytes_ : plan_bytes_;
            for (const bool checks : {false, true}) {
                WorkCall& call = add("export", 2 * block_weights_ * bytes_of_element());
                for (std::size_t b = 0; b <= spec_.n_blocks; ++b) {
                    Work work;
                    work.read = (plan_bytes_ + (checks ? bytes : 0.0)) / (n_blocks_ + 1.0);
                    work.written = checks ? 0.0 : bytes / (n_blocks_ + 1.0);
                    call.tasks.push_back(
                        task_of(checks ? stage::check_export : stage::export_piece,
                                fmt::format("{}_{}/{}", checks ? "check" : "export", format, b),
                                1.0, work));
                }
            }
        }
    }

    int n_ranks_;
    const JobOutline& outline_;
    const JobConfig& job_;
    const ModelSpec& spec_;
    std::size_t length_;
    double tokens_;  ///< of all calibration samples
    double block_weights_, grams_, hidden_, n_blocks_, block_flops_, source_bytes_, plan_bytes_;
    std::vector<double> unit_elements_;
    std::set<std::size_t> cuts_;  ///< numbers of chunks that references were made of
    std::vector<WorkCall> calls_;
};

/// A part of the work, and the figure that limits it.
struct Share {
    double seconds = 0.0;
    Certainty certainty = Certainty::measured;
};

std::array<Share, 6> shares_of(const Work& work, const ClusterConfig& cluster, double working_set) {
    const auto devices = static_cast<double>(cluster.devices_per_node);
    const auto share = [](double amount, const ClusterFigure& figure, double sharing) {
        return Share{amount * sharing / figure.value, figure.certainty};
    };
    const bool remembers = static_cast<double>(cluster.cache) >= working_set && cluster.cache > 0;
    const ClusterFigure& again = remembers ? cluster.cached : cluster.read;
    return {share(work.forward, cluster.forward, 1.0), share(work.gram, cluster.gram, 1.0),
            share(work.solve, cluster.solve, 1.0),     share(work.read, cluster.read, devices),
            share(work.reread, again, devices),        share(work.written, cluster.write, devices)};
}

}  // namespace

Work& Work::operator+=(const Work& other) {
    forward += other.forward;
    gram += other.gram;
    solve += other.solve;
    read += other.read;
    reread += other.reread;
    written += other.written;
    return *this;
}

std::vector<WorkCall> list_work(const JobOutline& outline, int n_ranks) {
    return JobList(outline, n_ranks).list();
}

double seconds_of(const Work& work, const ClusterConfig& cluster, double working_set) {
    double seconds = 0.0;
    for (const Share& share : shares_of(work, cluster, working_set)) {
        seconds += share.seconds;
    }
    return seconds;
}

Certainty certainty_of(const Work& work, const ClusterConfig& cluster, double working_set) {
    const double all = seconds_of(work, cluster, working_set);
    Certainty certainty = Certainty::measured;
    for (const Share& share : shares_of(work, cluster, working_set)) {
        if (share.seconds > 0.05 * all) {
            certainty = std::max(certainty, share.certainty);
        }
    }
    return certainty;
}

}  // namespace lathe
