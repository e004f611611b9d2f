#include "orchestrator/evaluation_tasks.hpp"

#include <algorithm>

#include "lib/core/hash.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

/// Other ranks may have another working directory.
EvaluatedModels absolute(EvaluatedModels models) {
    for (std::filesystem::path* path : {&models.model, &models.reference}) {
        if (!path->empty()) {
            *path = std::filesystem::absolute(*path);
        }
    }
    return models;
}

}  // namespace

std::vector<TokenSequences> evaluation_chunks(const TokenSequences& samples, std::size_t wanted) {
    const std::vector<SequenceRange> ranges = samples.ranges(tokens_per_evaluation_task);
    std::vector<TokenSequences> chunks;
    for (const SequenceRange& range : ranges) {
        TokenSequences chunk = samples.part(range);
        const std::vector<SequenceRange> batches = chunk.ranges(tokens_per_batch);
        const std::size_t n_pieces =
            std::min(batches.size(), (wanted + ranges.size() - 1) / ranges.size());
        if (n_pieces <= 1) {
            chunks.push_back(std::move(chunk));
            continue;
        }
        for (std::size_t piece = 0; piece < n_pieces; ++piece) {
            SequenceRange part = batches[piece * batches.size() / n_pieces];
            const SequenceRange& last = batches[(piece + 1) * batches.size() / n_pieces - 1];
            part.count = last.first + last.count - part.first;
            part.tokens = last.first_token + last.tokens - part.first_token;
            chunks.push_back(chunk.part(part));
        }
    }
    return chunks;
}

std::vector<Task> text_tasks(const EvaluatedModels& models, const TokenSequences& samples) {
    const auto [model, reference, reading, integer] = absolute(models);
    std::vector<Task> tasks;
    for (TokenSequences& chunk : evaluation_chunks(samples)) {
        Task task;
        task.stage = stage::evaluate;
        task.id = to_hex(hash_text(to_json(chunk)));
        task.cost = static_cast<double>(chunk.tokens());
        EvaluationTask evaluation;
        evaluation.model = model;
        evaluation.reference = reference;
        evaluation.reading = reading;
        evaluation.integer = integer;
        evaluation.samples = std::move(chunk);
        task.arguments = to_json(evaluation);
        tasks.push_back(std::move(task));
    }
    return tasks;
}

std::vector<Task> scoring_tasks(const EvaluatedModels& models, const ScoredSequences& sequences) {
    const auto [model, reference, reading, integer] = absolute(models);
    std::vector<Task> tasks;
    for (ScoredSequences& chunk : sequences.chunks(tokens_per_evaluation_task)) {
        Task task;
        task.stage = stage::score;
        task.id = to_hex(hash_text(to_json(ScoringTask{{}, {}, {}, chunk})));
        task.cost = static_cast<double>(chunk.samples.tokens());
        task.arguments = to_json(ScoringTask{model, reference, reading, std::move(chunk), integer});
        tasks.push_back(std::move(task));
    }
    return tasks;
}

std::vector<Task> numbered(std::vector<Task> tasks) {
    for (std::size_t t = 0; t < tasks.size(); ++t) {
        tasks[t].id = "chunk_" + std::to_string(t);
    }
    return tasks;
}

}  // namespace lathe
