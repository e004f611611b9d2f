#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <vector>

#include "lib/dataset/paired.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// A text to measure a model on.
struct TextQuestions {
    std::vector<std::filesystem::path> files;  ///< read as one
    std::size_t limit = 0;       ///< number of windows or single texts, from the first on; 0: all
    std::size_t max_length = 0;  ///< tokens of one, at most what the model can do; 0: 2048
};

/// exp of the mean negative log-likelihood of a token. The standard error takes windows, not
/// tokens, for independent (a ratio of sums over windows, and the delta method for exp); NaN for a
/// single window.
struct Perplexity {
    double value = 0.0;
    double standard_error = 0.0;
};

/// How a model does on a text.
struct TextSummary {
    std::size_t sequences = 0;             ///< windows, of a classifier single texts
    std::size_t tokens = 0;                ///< predicted ones, of a classifier all
    std::optional<Perplexity> perplexity;  ///< of a language model
    // With a reference model only:
    std::optional<Perplexity> reference_perplexity;
    std::optional<GroupMean> kl;  ///< mean divergence() per token, or per single text
    /// -log p of a token, less the reference's: how much worse, in nats.
    std::optional<PairedDifference> nll_difference;
    std::optional<double> top1_agreement;  ///< share of tokens or texts with the same first choice
};

/// Two models on the same windows or single texts, the first less the second.
struct TextComparison {
    std::optional<PairedDifference> nll;  ///< of a token, nats; of language models
    std::optional<PairedDifference> kl;   ///< per token or text, if both have it from one reference
};

/// A text as a model reads it, and the results from its outputs. For a language model the text is
/// one stream without special tokens, cut into windows that do not overlap, the last short one
/// dropped. A classifier reads single texts (read_texts()); it has no perplexity.
class TextEvaluation {
public:
    /// @throws MissingInputError
    /// @throws DataError  malformed, or too short for one window
    TextEvaluation(const TextQuestions& questions, const ModelSpec& spec, const TextReader& reader);

    [[nodiscard]] const TokenSequences& samples() const { return samples_; }
    /// `losses` of all samples(), in their order.
    [[nodiscard]] TextSummary summarise(const SampleLosses& losses) const;
    /// Of both all samples().
    [[nodiscard]] TextComparison compare(const SampleLosses& a, const SampleLosses& b) const;

    /// Tokens of each window that something is predicted for: one less than it has.
    [[nodiscard]] std::vector<double> predicted_tokens() const;

private:
    /// The head's rows of each sample: all tokens or, of a single text, one. The divergence is
    /// taken after every token, also after the last, whose successor is unknown.
    [[nodiscard]] std::vector<double> head_rows() const;

    TokenSequences samples_;
    bool predicts_;
};

}  // namespace lathe
