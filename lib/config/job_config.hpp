#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lib/job/budget.hpp"

namespace lathe {

/// Place of a value in a job file, for messages: "job.yaml:12:5".
struct SourcePlace {
    std::string text;
};

/// One entry of `candidates`: a method and, for each of its keys, the values to try. The keys are
/// the method's own; it checks them (methods/method.hpp).
struct CandidateEntry {
    struct Key;
    std::string method;
    std::vector<Key> keys;
    SourcePlace place;
};

struct CandidateEntry::Key {
    std::string name;
    std::vector<std::string> values;  ///< scalars as written; a single value is a list of one
    SourcePlace place;
    /// In place of values, if any of them is a map: each an entry, a scalar one without keys.
    std::vector<CandidateEntry> entries = {};
};

struct CalibrationConfig {
    std::vector<std::filesystem::path> data;  ///< .txt, .jsonl (field `text`), .h5 of token ids
    /// How rows of messages become texts, of calibration and evaluation: "": not at all; "true": by
    /// the model's template; else the name of one of its templates, or a .jinja file.
    std::string chat_template;
    std::size_t num_calibration_samples = 128;
    std::size_t max_seq_length = 2048;  ///< capped by the model's own maximum
    /// What linear layers are computed in, in the forward passes that gather statistics.
    enum class Precision { fp32, bf16 };
    Precision precision = Precision::fp32;
    /// What tokens count in the statistics of linear inputs: all alike, or by how much the loss
    /// depends on the outputs there (workers/calibration/token_weights.hpp).
    enum class Weighting { equal, loss };
    Weighting weighting = Weighting::equal;
};

/// How the hidden size is cut (SliceGPT, arXiv:2401.15024).
struct SliceConfig {
    enum class Rotation { per_boundary, global };
    enum class Order { dense, sequential };
    enum class Signal { raw, normalised };
    enum class Widths { constant, energy, search };
    enum class Weighting { effect, equal };
    enum class Orientation { pca, random };
    /// Of a tied embedding and head: one table at full width with projections around it, or two
    /// that are cut. `automatic`: one, but two with a global rotation, where they keep a stock
    /// model a stock one.
    enum class Tables { automatic, shared, own };

    /// Share of the hidden size that is removed, if there is no parameter_reduction.
    double sparsity = 0.0;
    /// Share of the parameters that is removed, shortcuts counted.
    std::optional<double> parameter_reduction;
    std::size_t round_interval = 8;  ///< widths are rounded down to a multiple
    /// With one rotation: widths are multiples of the number of heads, as transformers wants it of
    /// a stock model. No key: false where the job makes files that state the size of a head alone.
    bool heads_divide_width = true;
    Rotation rotation = Rotation::per_boundary;
    Order order = Order::dense;
    std::size_t touch_up = 0;  ///< further sweeps after the dense order's first
    Signal signal = Signal::raw;
    Weighting weighting = Weighting::effect;  ///< of the boundaries in a global rotation
    Widths widths = Widths::constant;
    Orientation orientation = Orientation::pca;
    bool head = false;  ///< cut what the head reads as well
    Tables tables = Tables::automatic;
    /// Fit what reads and writes the cut stream again (workers/slicing/slice_refit.hpp).
    bool refit = false;

    [[nodiscard]] bool is_global() const { return rotation == Rotation::global; }
};

/// In which order the neurons of a feed-forward layer are put before it is compressed: by falling
/// score, so that a split at any width h is "the first h neurons" (FFSplit, arXiv:2401.04044).
struct FfsplitConfig {
    /// Mean square, mean or frequency among the largest of what a neuron adds to the layer's output
    /// (workers/statistics/neuron_ranking.hpp); how late it goes when they are removed one by one
    /// (neuron_removal.hpp); or any order, from the job's seed.
    enum class Score { second_moment, mean, frequency, removal, random };
    Score score = Score::second_moment;
};

struct SearchConfig {
    /// What predicts a candidate's divergence: the measured divergence with its unit changed alone;
    /// its output errors weighted by second moments of the loss's derivatives; or both, side by
    /// side.
    enum class Scores { divergence, gradient, both };

    std::vector<std::filesystem::path> evaluation;  ///< empty: the end of the calibration text
    std::size_t num_evaluation_samples = 16;
    Scores scores = Scores::divergence;
    /// Each tries what those before it try, and more.
    enum class Strategy { homogeneous, greedy, knapsack, evolution };
    Strategy strategy = Strategy::evolution;
    std::size_t generations = 20;
    std::size_t offspring = 16;
    std::size_t tied_blocks = 1;  ///< number of neighbouring blocks that share settings
    /// If > 0: products with the plan's weights are at least this many times as fast as with the
    /// source's.
    double speedup = 0.0;
    std::filesystem::path kernel_times;  ///< a table (lib/job/kernel_times.hpp); empty: measured
    std::size_t kernel_tokens = 1;       ///< in the products that are measured
};

/// Whether the plan that wins is compressed again, block after block, each on what the compressed
/// blocks before it make.
enum class RefineMode { none, sequential };

/// For which program a job makes its model: only candidates that it takes, counted in its format's
/// bytes.
struct ServeConfig {
    std::string reader;               ///< a name of lib/job/serve_targets.hpp
    std::size_t tensor_parallel = 1;  ///< on how many devices it shares out each layer
    bool low_bits = false;            ///< with the package that key `low_bits` names
    SourcePlace place;
};

/// One entry of `evaluate.tasks`. Which names there are is known to lib/dataset; whoever opens the
/// data checks them.
struct TaskEntry {
    std::string task;
    std::filesystem::path data;
    std::size_t max_seq_length = 0;  ///< tokens of a sequence; 0: what is usual for the task
    SourcePlace place;
};

struct EvaluateConfig {
    std::vector<std::filesystem::path> perplexity;
    std::vector<TaskEntry> tasks;
    std::size_t max_seq_length = 2048;  ///< of perplexity; capped by the model's own maximum
    std::size_t limit = 0;  ///< the first windows of each text, examples of each task; 0: all
};

struct RuntimeConfig {
    std::string backend = "cpu";
    /// Of the CPU: which of the variants of the kernels, and BLAS to match; "auto": the best that
    /// each rank's processor has.
    std::string instruction_set = "auto";
    std::size_t threads = 0;         ///< per rank; 0: this node's processors over its ranks
    std::uint64_t memory_limit = 0;  ///< bytes of a rank; 0: its share of what the node grants
    double max_walltime = 0.0;       ///< seconds; 0: the batch system's end time, or none
    double worker_timeout = 600.0;   ///< seconds without a sign of life
};

/// What a user may say of how a model's directory is read: the same in a job, in its evaluation
/// and for every command.
struct ModelReading {
    /// Names (lib/model/name_patterns.hpp): parts of the model stay dense, others are passed over.
    std::vector<std::string> ignore;
    /// Rows of embeddings that are not finite are read by no text.
    bool allow_nan_rows = false;
};

/// A job, as read from a job file or the command line. What it leaves open is filled in, but for
/// `candidates`, which depend on the model too.
struct JobConfig {
    std::filesystem::path model;
    std::filesystem::path output;
    std::uint64_t seed = 0;
    CalibrationConfig calibration;
    std::optional<SliceConfig> slice;  ///< none: the hidden size stays
    /// Given: neurons are put in order whatever the candidates. None: if one asks for it.
    std::optional<FfsplitConfig> ffsplit;
    std::optional<ServeConfig> serve;  ///< none: the budget is that of our own checkpoint
    Budget budget;
    std::vector<CandidateEntry> candidates;  ///< none: those of default_candidates.hpp
    /// How tensors are stored that belong to no unit: norms, biases, tables of positions. None: as
    /// the source has them.
    std::vector<CandidateEntry> kept_tensors;
    ModelReading reading;  ///< keys `ignore` and `allow_nan_rows`
    SearchConfig search;
    RefineMode refine = RefineMode::none;
    EvaluateConfig evaluate;
    std::vector<std::string> exports;  ///< of lib/job/export_formats.hpp
    RuntimeConfig runtime;
};

/// Reads a job file strictly: an unknown key, a key given twice, a value of the wrong type or out
/// of range is an error with file, line and column, and for an unknown key the list of valid ones.
/// Relative paths in it are relative to the working directory.
///
/// `overrides` are "a.b.c=value" (value in YAML) and win over the file. `yaml` may be empty: then
/// overrides must give `model` and `output`.
/// @throws UsageError
[[nodiscard]] JobConfig read_job(const std::string& yaml, const std::string& file_name,
                                 const std::vector<std::string>& overrides);

/// The effective job file: every key, defaults filled in; read_job() of it gives the same job.
[[nodiscard]] std::string to_yaml(const JobConfig& job);

/// The keys in which two jobs differ and that a resumed run may not change, as
/// "budget: 4x, was 3x". Empty: `now` may continue `before`. Keys that may change: runtime.*,
/// evaluate.*, exports, refine, search.scores, ffsplit.score.
[[nodiscard]] std::vector<std::string> incompatible_changes(const JobConfig& before,
                                                            const JobConfig& now);

}  // namespace lathe
