#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/config/job_config.hpp"
#include "lib/core/matrix_view.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "lib/job/candidate.hpp"
#include "lib/model/model_spec.hpp"
#include "methods/error_feedback.hpp"

namespace lathe {

/// Statistics of the input that the tensors of a unit share, averaged over calibration tokens, in
/// host memory.
struct UnitStatistics {
    /// x^T x / T, symmetric, both triangles. Empty for a unit whose input are token ids.
    MatrixView<const float> gram;
    /// For a unit that reads token ids: how often each row of the table is used, as a share of
    /// all tokens, plus a floor of one use shared by all rows. Size: rows of the table; else empty.
    std::span<const float> row_weights;
    /// Gives make_inverse_factor() of `gram`, made before, [d, d]. Null: there are none.
    std::function<std::vector<float>(const ErrorFeedback&)> stored_factor = {};
};

/// What solving a setting makes of the Gram matrix alone, whatever the rows.
struct GramFactors {
    std::optional<ErrorFeedback> inverse_factor = {};  ///< make_inverse_factor() for this
    /// Also inverses as it goes, one after another, which are not stored: ADMM.
    bool inverses = false;
};

/// A tensor of a unit as a method sees it: W [out_features, in_features], row-major, fp32, in host
/// memory.
struct UnitTensor {
    MatrixView<const float> weight;
    Shape shape;
    DType source_dtype = DType::f32;
};

/// The tensors of a unit under one setting. error: squared output error, summed over tensors.
struct UnitSolution {
    std::vector<EncodedTensor> tensors;
    double error = 0.0;
    /// The setting with what solving settled filled in; nothing: it was settled before.
    std::optional<Setting> settled = std::nullopt;
};

/// What an encoded tensor takes in a file beyond one group and one data set: upper bounds.
struct ContainerParts {
    std::size_t groups = 0;
    std::size_t datasets = 0;
};

/// Of each block the share of its feed-forward layer's energy that the first neurons in order hold:
/// of 1, 2, ... neurons. Empty: not known before calibration.
using HeldEnergy = std::span<const std::vector<double>>;

/// A compression method. Adding one: a pair of files with such a row, one line in
/// method_table.cpp, one test.
struct MethodRow {
    std::string_view name;

    /// All settings an entry of `candidates` stands for: each combination of its values, every key
    /// filled in. @throws UsageError  naming the entry's place: unknown key (lists the valid ones),
    ///   value out of range
    std::vector<Setting> (*expand)(const CandidateEntry& entry);

    /// Payload bytes of a tensor of this shape: exactly what solve() will produce; the least that
    /// it can be where the setting is not settled.
    std::uint64_t (*bytes)(const Setting& setting, const Shape& shape, DType source_dtype);

    /// Rough number of floating-point operations that solve() spends on a tensor of this shape,
    /// what settings share counted with each: for estimates of time.
    double (*flops)(const Setting& setting, const Shape& shape);

    /// Whether the setting can be used for the unit: "" or the reason why not.
    std::string (*refuses)(const Setting& setting, const UnitSpec& unit, const Shape& shape,
                           DType source_dtype);

    /// Solves one unit for several settings; what they share (factors of the Gram matrix) is
    /// computed once. Deterministic. Solutions in the order of `settings`.
    std::vector<UnitSolution> (*solve)(std::span<const Setting> settings,
                                       std::span<const UnitTensor> tensors,
                                       const UnitStatistics& statistics,
                                       const kernels::Backend& backend);

    /// The setting that the unit of a model has under one of expand(): what depends on the unit is
    /// filled in. Null: the same for all units. The functions above but expand() see such. `held`
    /// is HeldEnergy of the unit's block; empty before calibration. What cannot be known without it
    /// stays open, and such a setting is not solved.
    Setting (*for_unit)(const Setting& setting, const ModelSpec& spec, const UnitSpec& unit,
                        std::span<const double> held) = nullptr;

    /// What a tensor under the setting takes in a file; null: as container_parts() has it.
    ContainerParts (*container)(const Setting& setting) = nullptr;

    /// Units of a block whose settings do not have the same tie cannot stand together in a plan.
    /// "" (and null): no tie.
    std::string (*tie)(const Setting& setting) = nullptr;

    /// Whether expand() leaves something of the setting open that its bytes depend on, for
    /// for_unit() or solve() to settle. Null: it never does.
    bool (*is_open)(const Setting& setting) = nullptr;

    /// What solve() stores of a tensor of this shape, without its parts: encoding, shape and
    /// settings; none if only the solution says it. Null: for methods of which no server has an
    /// equivalent.
    std::optional<EncodedTensor> (*outline)(const Setting& setting, const Shape& shape) = nullptr;

    /// Whether the neurons of feed-forward layers are to be in order, heaviest first, in jobs with
    /// such a candidate.
    bool orders_neurons = false;

    /// Not null: solve() gives a row of the unit the same bytes whatever other rows there are, so
    /// that a large unit may be solved in pieces, and this says what they share.
    GramFactors (*shared_by_rows)(const Setting& setting) = nullptr;
};

[[nodiscard]] std::span<const MethodRow> method_table();

/// @throws UsageError  for a name that is none, listing the names
[[nodiscard]] const MethodRow& find_method(std::string_view name, const std::string& place);

/// Of a tensor under a setting of any method.
[[nodiscard]] ContainerParts container_parts(const Setting& setting);

/// MethodRow::outline of a setting of any method.
[[nodiscard]] std::optional<EncodedTensor> outline_of(const Setting& setting, const Shape& shape);

/// MethodRow::tie of a setting of any method.
[[nodiscard]] std::string tie_of(const Setting& setting);

/// The settings of all entries, without repetition, in order; "dense" is always among them.
[[nodiscard]] std::vector<Setting> expand_candidates(const std::vector<CandidateEntry>& entries);

/// The settings that a unit may have: those of the entries whose key `targets` names it, or if none
/// does of the entries without that key, and "dense"; as the unit has them (MethodRow::for_unit).
[[nodiscard]] std::vector<Setting> expand_for_unit(const std::vector<CandidateEntry>& entries,
                                                   const ModelSpec& spec, const UnitSpec& unit,
                                                   HeldEnergy held = {});

/// Whether a setting as a unit has it can be used there: "" or the reason why not. `dtypes`: of the
/// model's tensors as they are stored.
[[nodiscard]] std::string refusal(const Setting& setting, const ModelSpec& spec,
                                  const UnitSpec& unit, std::span<const DType> dtypes);

/// Settings that suit none of the units that their entry is for: a line for each, with the entry's
/// place and the reason.
[[nodiscard]] std::vector<std::string> settings_of_no_use(
    const std::vector<CandidateEntry>& entries, const ModelSpec& spec,
    std::span<const DType> dtypes, HeldEnergy held = {});

/// @throws UsageError  if there are any: the first such line
void require_some_use(const std::vector<CandidateEntry>& entries, const ModelSpec& spec,
                      std::span<const DType> dtypes);

/// How tensors of no unit may be stored, all of them alike, each setting once; no entry: the
/// source's own.
/// @throws UsageError  naming its place: a method that is not dense, integer or bct; a solver that
///   needs the inputs of a layer
[[nodiscard]] std::vector<Setting> kept_settings(const std::vector<CandidateEntry>& entries);

/// A tensor of no unit under that setting; bytes as MethodRow::bytes() has them.
[[nodiscard]] EncodedTensor solve_kept(const Setting& setting, const UnitTensor& tensor,
                                       const kernels::Backend& backend);

/// Whether the bytes of what expand_candidates() made are only a lower bound: MethodRow::is_open.
[[nodiscard]] bool is_open(const Setting& setting);

/// @throws UsageError  naming the place of a `targets` that names no unit of the model
void require_known_targets(const std::vector<CandidateEntry>& entries, const ModelSpec& spec);

}  // namespace lathe
