#include <algorithm>
#include <optional>
#include <unordered_map>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/evaluation_tasks.hpp"
#include "orchestrator/search/plan_evaluation.hpp"
#include "orchestrator/stages.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// What is evaluated: the checkpoint, against the source.
struct Subject {
    JobRun& run;
    EvaluatedModels models;
    std::string hash;  ///< of the checkpoint
};

/// The answers of all tasks; those of one id are one task.
std::vector<std::string> run_distinct(JobRun& run, std::vector<StageTask> tasks) {
    std::vector<StageTask> distinct;
    std::unordered_map<std::string, std::size_t> places;
    std::vector<std::size_t> place_of;
    for (StageTask& task : tasks) {
        const auto [place, is_new] = places.emplace(task.task.id, distinct.size());
        place_of.push_back(place->second);
        if (is_new) {
            distinct.push_back(std::move(task));
        }
    }
    const std::vector<std::string> found = run.run_stage("evaluate", std::move(distinct));
    std::vector<std::string> answers;
    std::ranges::transform(place_of, std::back_inserter(answers),
                           [&](std::size_t place) { return found[place]; });
    return answers;
}

/// Has the chunks of several questions evaluated; for each question the answers of its chunks. A
/// chunk that occurs twice, in one text or in two, is one task.
std::vector<std::vector<std::string>> ask(const Subject& subject,
                                          const std::vector<std::vector<Task>>& questions) {
    std::vector<StageTask> tasks;
    for (const std::vector<Task>& question : questions) {
        for (const Task& chunk : question) {
            StageTask& task = tasks.emplace_back();
            task.task = chunk;
            // What the answer depends on: source, checkpoint and content.
            task.task.id =
                "evaluate/" + subject.run.fingerprint({subject.hash, chunk.stage, chunk.id});
        }
    }
    const std::vector<std::string> all = run_distinct(subject.run, std::move(tasks));
    std::vector<std::vector<std::string>> answers;
    auto next = all.begin();
    for (const std::vector<Task>& question : questions) {
        const auto count = static_cast<std::ptrdiff_t>(question.size());
        answers.emplace_back(next, next + count);
        next += count;
    }
    return answers;
}

SampleLosses joined_losses(const std::vector<std::string>& answers) {
    SampleLosses losses;
    for (const std::string& answer : answers) {
        losses.append(sample_losses_from_json(answer));
    }
    return losses;
}

/// The best uniform plan within the budget, if it is not what was assembled.
std::optional<EvaluatedPlan> other_uniform_plan(const SearchResult& found) {
    std::optional<EvaluatedPlan> best;
    for (const EvaluatedPlan& plan : found.considered) {
        const bool is_other =
            plan.plan.choice != found.best.plan.choice || !found.best.plan.refined.empty();
        if (is_other && plan.plan.origin.starts_with("homogeneous") &&
            (!best || plan.kl < best->kl)) {
            best = plan;
        }
    }
    return best;
}

std::vector<EvaluationReport::Text> evaluate_texts(const Subject& subject,
                                                   const std::vector<JobQuestions::Text>& texts,
                                                   const SearchResult& found) {
    std::vector<std::vector<Task>> tasks;
    for (const JobQuestions::Text& text : texts) {
        tasks.push_back(text_tasks(subject.models, text.evaluation.samples()));
    }
    const auto answers = ask(subject, tasks);
    const std::optional<EvaluatedPlan> uniform = other_uniform_plan(found);
    nlohmann::json windows = nlohmann::json::array();
    std::vector<EvaluationReport::Text> result;
    for (std::size_t t = 0; t < texts.size(); ++t) {
        const TextEvaluation& evaluation = texts[t].evaluation;
        const SampleLosses losses = joined_losses(answers[t]);
        EvaluationReport::Text& text = result.emplace_back(
            EvaluationReport::Text{texts[t].file, evaluation.summarise(losses), {}});
        nlohmann::json of_text = windows_json(losses);
        of_text["file"] = text.file;
        of_text["tokens"] = evaluation.samples().lengths;
        if (uniform) {
            const SampleLosses others = joined_losses(run_distinct(
                subject.run, plan_tasks(subject.run, uniform->plan, evaluation.samples())));
            const TextComparison difference = evaluation.compare(losses, others);
            text.uniform = {uniform->plan.origin, evaluation.summarise(others), difference,
                            found.best.kl < uniform->kl && difference.kl->mean > 0.0};
            of_text["uniform"] = windows_json(others);
        }
        windows.push_back(std::move(of_text));
    }
    write_file(subject.run.run().windows(), windows.dump() + "\n");
    return result;
}

std::vector<EvaluationReport::Task> evaluate_tasks(const Subject& subject,
                                                   const std::vector<JobQuestions::Task>& asked) {
    std::vector<std::vector<Task>> tasks;
    for (const JobQuestions::Task& task : asked) {
        tasks.push_back(scoring_tasks(subject.models, task.evaluation->sequences()));
    }
    const auto answers = ask(subject, tasks);
    std::vector<EvaluationReport::Task> result;
    for (std::size_t t = 0; t < asked.size(); ++t) {
        SequenceScores scores;
        for (const std::string& answer : answers[t]) {
            scores.append(sequence_scores_from_json(answer));
        }
        result.push_back({asked[t].name, asked[t].file, asked[t].evaluation->summarise(scores)});
    }
    return result;
}

}  // namespace

EvaluationReport evaluate(JobRun& run, const JobQuestions& questions, const SearchResult& found,
                          const fs::path& directory) {
    const Subject subject{
        run,
        {directory, run.given_model().directory, run.job().reading},
        text_attribute(ArtifactReader(directory / "checkpoint.h5").attributes("/"),
                       "checkpoint_hash", directory.string())};
    EvaluationReport report;
    if (!questions.texts.empty()) {
        report.texts = evaluate_texts(subject, questions.texts, found);
    }
    if (!questions.tasks.empty()) {
        report.tasks = evaluate_tasks(subject, questions.tasks);
    }
    return report;
}

}  // namespace lathe
