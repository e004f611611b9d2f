#include "orchestrator/estimate/search_work.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "orchestrator/estimate/model_sums.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

constexpr std::size_t probed_tokens = 2048;    // orchestrator/search/scores.cpp
constexpr std::size_t screened_tokens = 512;   // orchestrator/search/search_stage.cpp
constexpr std::size_t plans_of_knapsacks = 4;  // two ways to score, exact and greedy

}  // namespace

WorkCall& SearchWork::add(const char* stage, double rank_bytes) {
    calls_.push_back(sizes_.call(stage, rank_bytes));
    return calls_.back();
}

/// Final states of the source model on some tokens.
WorkTask SearchWork::reference(std::string id, double tokens) const {
    Work work;
    work.forward = tokens * sizes_.n_blocks * sizes_.block_flops;
    work.reread = sizes_.source_bytes;
    work.written = 4.0 * tokens * sizes_.hidden;
    return task_of(stage::reference, std::move(id), tokens, work);
}

WorkTask SearchWork::plan_task(std::string id, double tokens) const {
    Work work;  // logits of both models
    work.forward = tokens * (sizes_.n_blocks * sizes_.block_flops + 2.0 * head_flops(sizes_.spec));
    work.reread = sizes_.plan_bytes + 4.0 * tokens * sizes_.hidden;
    return task_of(stage::evaluate_plan, std::move(id), tokens, work);
}

WorkTask SearchWork::variants(std::string id, const std::vector<std::size_t>& changed,
                              double tokens, double base_bytes) const {
    // The plan's own stream goes on to the last change; if the variants are compared with it,
    // to the end.
    const bool is_reference = base_bytes == sizes_.source_bytes;
    double walked = 0.0;
    double of_plan = is_reference ? sizes_.n_blocks : 0.0;
    Work work;
    work.reread = base_bytes;
    for (const std::size_t unit : changed) {
        const bool is_first = sizes_.spec.units[unit].block == std::nullopt &&
                              sizes_.spec.units[unit].input == Signal::token_ids;
        const double first = is_first ? 0.0 : static_cast<double>(sizes_.block_of(unit));
        walked += sizes_.n_blocks - first;
        of_plan = std::max(of_plan, first);
        work.reread += sizes_.unit_elements[unit] * sizes_.plan_bytes /
                       static_cast<double>(sizes_.spec.parameters());
    }
    walked += of_plan;
    work.forward = tokens * (walked * sizes_.block_flops +
                             static_cast<double>(1 + changed.size()) * head_flops(sizes_.spec));
    return task_of(
        stage::variants, std::move(id),
        variants_cost(sizes_.spec.units.size(), changed, static_cast<std::size_t>(tokens)), work);
}

void SearchWork::add_variants(const std::string& name, const std::vector<std::size_t>& changed,
                              std::size_t samples, double base_bytes) {
    WorkCall& call = add("search", sizes_.search_bytes());
    const auto parts = ranges_of(samples, sizes_.length, tokens_per_variants_task);
    const std::size_t per_task = variants_per_task(changed.size(), parts.size(), sizes_.n_ranks);
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

void SearchWork::search() {
    const bool mixes = sizes_.job.search.strategy != SearchConfig::Strategy::homogeneous;
    if (mixes) {
        probe();
    }
    measure("plans", (mixes ? plans_of_knapsacks : 0) + sizes_.outline.n_settings);
    if (sizes_.job.search.strategy == SearchConfig::Strategy::evolution) {
        evolve();
    }
}

void SearchWork::probe() {
    std::vector<std::size_t> probes;
    for (std::size_t u = 0; u < sizes_.spec.units.size(); ++u) {
        probes.insert(probes.end(), sizes_.outline.settings[u].size() > 1 ? 2 : 1, u);
    }
    const std::size_t probed = std::min(sizes_.job.search.num_evaluation_samples,
                                        std::max<std::size_t>(1, probed_tokens / sizes_.length));
    add_variants("probes", probes, probed, sizes_.source_bytes);
}

std::vector<std::size_t> SearchWork::chunks_for(std::size_t n_plans) const {
    constexpr std::size_t plenty = std::size_t{1} << 24;  // of tokens: no need for more chunks
    const std::size_t n = sizes_.job.search.num_evaluation_samples;
    if (n * sizes_.length > plenty) {
        return ranges_of(n, sizes_.length, tokens_per_evaluation_task);
    }
    TokenSequences samples = sequences(n, sizes_.length);
    samples.ids.resize(n * sizes_.length);
    std::vector<std::size_t> tokens;
    for (const TokenSequences& chunk :
         evaluation_chunks(samples, chunks_wanted(n_plans, sizes_.n_ranks))) {
        tokens.push_back(chunk.tokens());
    }
    return tokens;
}

void SearchWork::measure(const std::string& name, std::size_t n_plans) {
    const std::vector<std::size_t> chunks = chunks_for(n_plans);
    if (cuts_.insert(chunks.size()).second) {
        WorkCall& references = add("search", sizes_.search_bytes());
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            references.tasks.push_back(reference(fmt::format("reference/{}of{}", c, chunks.size()),
                                                 static_cast<double>(chunks[c])));
        }
    }
    WorkCall& call = add("search", sizes_.search_bytes());
    for (std::size_t p = 0; p < n_plans; ++p) {
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            call.tasks.push_back(plan_task(fmt::format("search/{}/{}/{}", name, p, c),
                                           static_cast<double>(chunks[c])));
        }
    }
}

void SearchWork::evolve() {
    const std::size_t n_parts =
        ranges_of(sizes_.job.search.num_evaluation_samples, sizes_.length, screened_tokens).size();
    const std::size_t samples = std::max<std::size_t>(1, screened_tokens / sizes_.length);
    std::vector<std::size_t> changed;  // spread over the blocks; the parent changes nothing
    for (std::size_t v = 0; v <= sizes_.job.search.offspring; ++v) {
        changed.push_back(v * (sizes_.spec.units.size() - 1) / (sizes_.job.search.offspring + 1));
    }
    // Made ahead, side by side, as far as there are ranks.
    const std::size_t n_used = std::min(n_parts, sizes_.job.search.generations);
    const std::size_t n_ahead =
        sizes_.n_ranks > 1 ? std::min(n_used, static_cast<std::size_t>(sizes_.n_ranks)) : 0;
    add("search", sizes_.search_bytes());
    for (std::size_t part = 0; part < n_ahead; ++part) {
        calls_.back().tasks.push_back(part_reference(part, samples));
    }
    for (std::size_t g = 0; g < sizes_.job.search.generations; ++g) {
        if (g >= n_ahead && g < n_used) {
            add("search", sizes_.search_bytes()).tasks.push_back(part_reference(g, samples));
        }
        add_variants(fmt::format("generation_{}", g), changed, samples, sizes_.plan_bytes);
        measure(fmt::format("generation_{}", g), 2);
    }
}

WorkTask SearchWork::part_reference(std::size_t part, std::size_t samples) const {
    return reference(fmt::format("reference/part_{}", part),
                     static_cast<double>(samples * sizes_.length));
}

}  // namespace lathe
