#include "workers/calibration/output_gradients.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/calibration/gradient_walk.hpp"

namespace lathe {
namespace {

using kernels::Backend;
using kernels::Gradients;

/// Sums of squares of a block, or of what stands outside the blocks, by role.
class RoleSums {
public:
    explicit RoleSums(const Gradients& gradients) : gradients_(gradients) {}

    [[nodiscard]] GradientObserver observer() {
        return [this](Role role, MatrixView<const float> dy) {
            std::vector<double>& sums = sums_[role];
            sums.resize(dy.cols);
            gradients_.add_squares(dy, sums);
        };
    }

    /// Those of a tensor's outputs.
    [[nodiscard]] std::vector<double> of(const ModelSpec& spec, const TensorSpec& tensor) const {
        if (!tensor.fused.parts.empty()) {
            std::vector<double> all(tensor.shape.at(0));
            const auto rows = rows_of_parts(tensor);
            for (std::size_t p = 0; p < rows.size(); ++p) {
                const std::vector<double>& own = sums_.at(tensor.fused.parts[p].role);
                for (std::size_t r = 0; r < own.size(); ++r) {
                    all[rows[p][r]] = own[r];
                }
            }
            return all;
        }
        std::vector<double> all = sums_.at(tensor.role);
        if (spec.tied_head && tensor.role == Role::token_embedding) {
            const std::vector<double>& head = sums_.at(Role::lm_head);
            all.insert(all.begin(), head.begin(), head.end());
        }
        return all;
    }

private:
    const Gradients& gradients_;
    std::map<Role, std::vector<double>> sums_;
};

/// Indices of the tensors of all units that stand in a block, or outside.
std::vector<std::size_t> unit_tensors(const ModelSpec& spec, std::optional<std::size_t> block) {
    std::vector<std::size_t> tensors;
    for (const UnitSpec& unit : spec.units) {
        if (unit.block == block) {
            tensors.insert(tensors.end(), unit.tensors.begin(), unit.tensors.end());
        }
    }
    return tensors;
}

}  // namespace

OutputSquares output_squares(const ModelSpec& spec, const WeightSource& weights,
                             const Backend& backend, const Gradients& gradients,
                             const TokenSequences& samples, const LossGradient& loss) {
    std::map<std::optional<std::size_t>, RoleSums> sums;
    walk_back(spec, weights, backend, gradients, samples, loss,
              [&](std::optional<std::size_t> block) {
                  return sums.try_emplace(block, gradients).first->second.observer();
              });
    OutputSquares squares(spec.tensors.size());
    for (const auto& [block, place] : sums) {
        for (const std::size_t t : unit_tensors(spec, block)) {
            squares[t] = place.of(spec, spec.tensors[t]);
        }
    }
    return squares;
}

void run_gradients(const JobContext& context, const GradientTask& task) {
    const ModelSpec& spec = context.spec();
    const HostGradients host(context);
    const OutputSquares squares =
        output_squares(spec, SourceWeights(*context.source), *host.backend, *host.gradients,
                       task.samples, drawn_labels(*host.gradients, task.seed, task.first_row));
    ArtifactWriter file(context.run.gradients(task.part));
    const std::size_t rows = ForwardPass::head_rows(spec, task.samples);
    file.group("/", {{"fingerprint", task.fingerprint}, {"rows", static_cast<std::int64_t>(rows)}});
    for (std::size_t t = 0; t < squares.size(); ++t) {
        if (!squares[t].empty()) {
            file.dataset("/" + std::to_string(t), DType::f64, {squares[t].size()},
                         reinterpret_cast<const std::byte*>(squares[t].data()));
        }
    }
    file.commit();
}

OutputSquares read_output_sensitivities(const RunDirectory& run, const ModelSpec& spec,
                                        std::size_t n_parts) {
    OutputSquares sums(spec.tensors.size());
    double rows = 0.0;
    for (std::size_t part = 0; part < n_parts; ++part) {
        const ArtifactReader file(run.gradients(part));
        rows += static_cast<double>(
            integer_attribute(file.attributes("/"), "rows", file.path().string()));
        for (const std::string& name : file.children("/")) {
            const Shape shape = file.info("/" + name).shape;
            std::vector<double> squares(element_count(shape));
            file.read_into("/" + name, reinterpret_cast<std::byte*>(squares.data()),
                           squares.size() * sizeof(double));
            std::vector<double>& sum = sums.at(std::stoul(name));
            sum.resize(squares.size());
            std::ranges::transform(sum, squares, sum.begin(), std::plus<>());
        }
    }
    for (std::vector<double>& sum : sums) {
        for (double& value : sum) {
            value /= rows;
        }
    }
    return sums;
}

std::string to_json(const GradientTask& task) {
    return nlohmann::json{{"part", task.part},
                          {"seed", task.seed},
                          {"first_row", task.first_row},
                          {"samples", to_json(task.samples)},
                          {"fingerprint", task.fingerprint}}
        .dump();
}

GradientTask gradient_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("part"), json.at("seed"), json.at("first_row"),
            token_sequences_from_json(json.at("samples").get<std::string>()),
            json.at("fingerprint")};
}

}  // namespace lathe
