#include "orchestrator/evaluation_tasks.hpp"

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

std::vector<TokenSequences> evaluation_chunks(const TokenSequences& samples) {
    std::vector<TokenSequences> chunks;
    for (const SequenceRange& range : samples.ranges(tokens_per_evaluation_task)) {
        chunks.push_back(samples.part(range));
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
