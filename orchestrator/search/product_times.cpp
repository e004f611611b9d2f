#include "orchestrator/search/product_times.hpp"

#include <algorithm>
#include <map>
#include <string>

#include "lib/core/file.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/network/kernel_timing.hpp"

namespace lathe {
namespace {

/// The tensors of a unit that are multiplied with, by their places in it.
std::vector<std::size_t> multiplied(const ModelSpec& spec, const UnitSpec& unit) {
    std::vector<std::size_t> places;
    for (std::size_t place = 0; place < unit.tensors.size(); ++place) {
        const bool is_tied =
            spec.tied_head && spec.tensors[unit.tensors[place]].role == Role::token_embedding;
        if (unit.input != Signal::token_ids || is_tied) {
            places.push_back(place);
        }
    }
    return places;
}

double unit_seconds(const KernelTimes& times, const ModelSpec& spec, const UnitSpec& unit,
                    const Setting& setting) {
    double seconds = 0.0;
    for (const std::size_t place : multiplied(spec, unit)) {
        const auto [rows, cols] = matrix_extents(spec.tensors[unit.tensors[place]].shape);
        seconds += times.seconds(rows, cols, setting);
    }
    return seconds;
}

/// Everything that a product takes its time by.
std::string layout_of(const EncodedTensor& tensor) {
    std::string text = tensor.encoding + to_string(tensor.shape);
    for (const auto& [key, value] : tensor.settings) {
        text += ' ' + key + '=' + std::to_string(value);
    }
    for (const EncodedTensor& piece : tensor.pieces) {
        text += " (" + layout_of(piece) + ')';
    }
    return text;
}

/// Fills a table with what it lacks. Settings that store a weight alike, such as those of two
/// solvers, get one time between them: a difference would be noise.
class Measurement {
public:
    Measurement(const JobRun& run, KernelTimes& times) : run_(run), times_(times) {}

    /// `read`: the tensor under the setting.
    template <class Read>
    void add(const ModelSpec& spec, std::size_t tensor, const Setting& setting, const Read& read) {
        const auto [rows, cols] = matrix_extents(spec.tensors[tensor].shape);
        if (times_.find(rows, cols, setting)) {
            return;
        }
        const EncodedTensor stored = read();
        const auto [entry, is_new] = known_.try_emplace(layout_of(stored), 0.0);
        if (is_new) {
            const auto alike = std::ranges::count(spec.tensors, stored.shape, &TensorSpec::shape);
            entry->second = time_product(stored, times_.tokens(), static_cast<std::size_t>(alike),
                                         run_.context().backend());
        }
        times_.add({rows, cols, setting, 1e6 * entry->second});
    }

private:
    const JobRun& run_;
    KernelTimes& times_;
    std::map<std::string, double> known_;  ///< by layout
};

void measure(const JobRun& run, const CandidateTable& table, KernelTimes& times) {
    Measurement measurement(run, times);
    const ModelSpec& spec = run.spec();
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        for (const std::size_t place : multiplied(spec, spec.units[u])) {
            for (const Candidate& candidate : table[u]) {
                measurement.add(spec, spec.units[u].tensors[place], candidate.setting, [&] {
                    return read_candidate_tensor(run.context(), u, place, candidate.setting);
                });
            }
        }
    }
    const SourceModel& given = run.given_model();
    for (const UnitSpec& unit : given.spec.units) {
        for (const std::size_t place : multiplied(given.spec, unit)) {
            const std::size_t tensor = unit.tensors[place];
            measurement.add(given.spec, tensor, source_setting(),
                            [&] { return source_tensor(given, tensor); });
        }
    }
}

KernelTimes table_of(JobRun& run, const CandidateTable& candidates) {
    const SearchConfig& search = run.context().job.search;
    if (!search.kernel_times.empty()) {
        return KernelTimes::read(search.kernel_times);
    }
    const std::filesystem::path file = run.run().kernel_times();
    KernelTimes times(search.kernel_tokens);
    if (std::filesystem::exists(file)) {
        if (KernelTimes measured = KernelTimes::read(file);
            measured.tokens() == search.kernel_tokens) {
            times = std::move(measured);
        }
    }
    run.time_stage("search", [&] { measure(run, candidates, times); });
    write_file(file, times.to_json());
    return times;
}

}  // namespace

std::optional<ProductTimes> product_times(JobRun& run, const CandidateTable& table) {
    const SearchConfig& search = run.context().job.search;
    if (search.speedup == 0.0 && search.kernel_times.empty()) {
        return std::nullopt;
    }
    const KernelTimes times = table_of(run, table);
    ProductTimes result;
    for (std::size_t u = 0; u < run.spec().units.size(); ++u) {
        std::vector<double>& unit = result.candidates.emplace_back();
        for (const Candidate& candidate : table[u]) {
            unit.push_back(unit_seconds(times, run.spec(), run.spec().units[u], candidate.setting));
        }
    }
    // Nothing is multiplied with norms, biases and tables of positions.
    result.candidates.emplace_back(table.back().size(), 0.0);
    const ModelSpec& given = run.given_model().spec;
    for (const UnitSpec& unit : given.units) {
        result.source += unit_seconds(times, given, unit, source_setting());
    }
    return result;
}

}  // namespace lathe
