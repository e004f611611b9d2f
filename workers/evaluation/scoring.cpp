#include "workers/evaluation/scoring.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/network/divergence.hpp"
#include "workers/network/final_states.hpp"
#include "workers/network/head.hpp"

namespace lathe {
namespace {

using kernels::Backend;

/// The outputs that matter: the sequence each belongs to, and of a language model the row of the
/// token that predicts.
struct ScoredRows {
    std::vector<std::uint32_t> sequence;
    std::vector<std::uint32_t> token;

    ScoredRows(const ModelSpec& spec, const ScoredSequences& sequences) {
        std::uint32_t end = 0;
        for (std::uint32_t s = 0; s < sequences.samples.count(); ++s) {
            end += sequences.samples.lengths[s];
            if (spec.head == HeadKind::classifier) {
                sequence.push_back(s);
                continue;
            }
            for (std::uint32_t t = end - sequences.n_targets.at(s); t < end; ++t) {
                sequence.push_back(s);
                token.push_back(t);
            }
        }
    }
    [[nodiscard]] std::size_t count() const { return sequence.size(); }
};

/// One model's pass over the sequences, its outputs taken tile after tile.
class ScoringPass {
public:
    ScoringPass(const std::filesystem::path& directory, const Backend& backend,
                const ScoringTask& task, const IntegerParts& integer)
        : where_(directory.string()),
          model_(directory, task.reading),
          backend_(backend),
          targets_(task.sequences.targets),
          rows_(model_.spec(), task.sequences),
          states_(final_states(model_.spec(), model_.weights(), backend, task.sequences.samples,
                               integer)),
          head_(model_.spec(), model_.weights(), backend, integer) {
        if (model_.spec().head == HeadKind::language_model) {
            keep_predicting_rows();
        }
    }

    [[nodiscard]] const ModelSpec& spec() const { return model_.spec(); }
    [[nodiscard]] const ScoredRows& rows() const { return rows_; }

    /// Adds what rows first ... first + count - 1 say to `values` (SequenceScores::values).
    MatrixView<const float> add(std::size_t first, std::size_t count, std::vector<double>& values) {
        const MatrixView<const float> logits = head_.logits(states_, first, count);
        if (!backend_.all_finite(logits)) {
            throw DataError(where_ + ": the model's output is NaN or infinite");
        }
        if (spec().head == HeadKind::classifier) {
            std::vector<float> host(count * logits.cols);
            backend_.download(logits, host.data());
            values.insert(values.end(), host.begin(), host.end());
            return logits;
        }
        std::vector<double> losses(count);
        backend_.cross_entropy(logits, targets_.subspan(first, count), losses);
        for (std::size_t i = 0; i < count; ++i) {
            values[rows_.sequence[first + i]] -= losses[i];
        }
        return logits;
    }

private:
    /// The other rows' logits would be most of the work, and nobody reads them.
    void keep_predicting_rows() {
        const std::size_t width = spec().head_width();
        FinalStates kept = backend_.allocate<float>(rows_.count() * width);
        backend_.embed(rows_.token, states_.matrix(states_.size() / width, width),
                       kept.matrix(rows_.count(), width));
        states_ = std::move(kept);
    }

    std::string where_;
    ModelToRun model_;
    const Backend& backend_;
    std::span<const std::uint32_t> targets_;
    ScoredRows rows_;
    FinalStates states_;
    Head head_;
};

}  // namespace

std::vector<ScoredSequences> ScoredSequences::chunks(std::size_t max_tokens) const {
    std::vector<ScoredSequences> result;
    auto target = targets.begin();
    for (const SequenceRange& range : samples.ranges(max_tokens)) {
        ScoredSequences chunk;
        chunk.samples = samples.part(range);
        if (!n_targets.empty()) {
            const auto begin = n_targets.begin() + static_cast<std::ptrdiff_t>(range.first);
            chunk.n_targets.assign(begin, begin + static_cast<std::ptrdiff_t>(range.count));
            for (const std::uint32_t n : chunk.n_targets) {
                chunk.targets.insert(chunk.targets.end(), target, target + n);
                target += n;
            }
        }
        result.push_back(std::move(chunk));
    }
    return result;
}

void SequenceScores::append(const SequenceScores& others) {
    values.insert(values.end(), others.values.begin(), others.values.end());
    reference_values.insert(reference_values.end(), others.reference_values.begin(),
                            others.reference_values.end());
    kl.insert(kl.end(), others.kl.begin(), others.kl.end());
}

SequenceScores run_scoring(const Backend& backend, const ScoringTask& task) {
    ScoringPass model(task.model, backend, task, task.integer);
    std::optional<ScoringPass> reference;
    if (!task.reference.empty()) {
        reference.emplace(task.reference, backend, task, IntegerParts{});
        require_same_outputs(model.spec(), reference->spec(), task.reference.string());
    }
    const std::size_t n_sequences = task.sequences.samples.count();
    SequenceScores scores;
    if (model.spec().head == HeadKind::language_model) {
        scores.values.assign(n_sequences, 0.0);
        scores.reference_values.assign(reference ? n_sequences : 0, 0.0);
    }
    scores.kl.assign(reference ? n_sequences : 0, 0.0);
    std::vector<double> kl(logit_rows);
    std::vector<std::uint8_t> unused(logit_rows);
    const ScoredRows& rows = model.rows();
    for (std::size_t first = 0; first < rows.count(); first += logit_rows) {
        const std::size_t count = std::min(logit_rows, rows.count() - first);
        const auto logits = model.add(first, count, scores.values);
        if (!reference) {
            continue;
        }
        const auto reference_logits = reference->add(first, count, scores.reference_values);
        divergence(backend, reference_logits, logits, std::span(kl).first(count),
                   std::span(unused).first(count));
        for (std::size_t i = 0; i < count; ++i) {
            scores.kl[rows.sequence[first + i]] += kl[i];
        }
    }
    return scores;
}

std::string to_json(const ScoringTask& task) {
    return nlohmann::json{
        {"model", task.model.string()},          {"reference", task.reference.string()},
        {"reading", to_json(task.reading)},      {"samples", to_json(task.sequences.samples)},
        {"n_targets", task.sequences.n_targets}, {"targets", task.sequences.targets},
        {"integer", to_json(task.integer)}}
        .dump();
}

ScoringTask scoring_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("model").get<std::string>(),
            json.at("reference").get<std::string>(),
            model_reading_from_json(json.at("reading").get<std::string>()),
            {token_sequences_from_json(json.at("samples").get<std::string>()),
             json.at("n_targets").get<std::vector<std::uint32_t>>(),
             json.at("targets").get<std::vector<std::uint32_t>>()},
            integer_parts_from_json(json.at("integer").get<std::string>())};
}

std::string to_json(const SequenceScores& scores) {
    return nlohmann::json{
        {"values", scores.values}, {"reference_values", scores.reference_values}, {"kl", scores.kl}}
        .dump();
}

SequenceScores sequence_scores_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("values").get<std::vector<double>>(),
            json.at("reference_values").get<std::vector<double>>(),
            json.at("kl").get<std::vector<double>>()};
}

}  // namespace lathe
