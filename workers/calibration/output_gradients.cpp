#include "workers/calibration/output_gradients.hpp"

#include <algorithm>
#include <map>

#include "kernels/backends.hpp"
#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/core/random.hpp"

namespace lathe {
namespace {

using kernels::Array;
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

/// All samples on their way through the model and back.
class Walk {
public:
    Walk(const ModelSpec& spec, const WeightSource& weights, const Backend& backend,
         const Gradients& gradients, const TokenSequences& samples)
        : spec_(spec),
          weights_(weights),
          backend_(backend),
          gradients_(gradients),
          samples_(samples),
          backward_(spec, backend, gradients, samples.max_length()),
          embedding_roles_(ForwardPass::embedding_roles()),
          outside_(gradients) {}

    OutputSquares run(const LossGradient& loss) {
        OutputSquares squares(spec_.tensors.size());
        const Array<float> stream = allocate();
        go_forwards(stream);
        const Array<float> d = allocate();
        MatrixView<float> derivative = view(d, spec_.n_blocks);
        backward_.head(load(std::nullopt, backward_.forward().head_roles()), samples_,
                       view(stream, spec_.n_blocks), loss, derivative, outside_.observer());
        for (std::size_t b = spec_.n_blocks; b-- > 0;) {
            RoleSums block(gradients_);
            derivative = backward_.block(load(b, {}), samples_, view(inputs_[b], b), derivative,
                                         block.observer());
            if (!backend_.all_finite(derivative)) {
                throw DataError("the derivatives by the input of block " + std::to_string(b) +
                                " are not finite (NaN or infinity)");
            }
            take(block, b, squares);
        }
        backward_.embed(load(std::nullopt, embedding_roles_), samples_, derivative,
                        outside_.observer());
        take(outside_, std::nullopt, squares);
        return squares;
    }

private:
    [[nodiscard]] Array<float> allocate() const {
        return backend_.allocate<float>(samples_.tokens() * spec_.hidden_size);
    }
    /// The stream before a block, or after the last.
    [[nodiscard]] MatrixView<float> view(const Array<float>& array, std::size_t block) const {
        return array.matrix(samples_.tokens(), spec_.stream_width(block * spec_.steps_per_block()));
    }
    [[nodiscard]] LoadedWeights load(std::optional<std::size_t> block,
                                     std::span<const Role> roles) const {
        return LoadedWeights::load(spec_, weights_, backend_, block, roles);
    }

    void go_forwards(const Array<float>& stream) {
        ForwardPass& forward = backward_.forward();
        forward.embed(load(std::nullopt, embedding_roles_), samples_, view(stream, 0));
        for (std::size_t b = 0; b < spec_.n_blocks; ++b) {
            inputs_.push_back(backend_.allocate<float>(samples_.tokens() * view(stream, b).cols));
            backend_.copy(view(stream, b), view(inputs_[b], b));
            forward.block(load(b, {}), samples_, view(stream, b));
        }
    }

    void take(const RoleSums& sums, std::optional<std::size_t> block,
              OutputSquares& squares) const {
        for (const std::size_t t : unit_tensors(spec_, block)) {
            squares[t] = sums.of(spec_, spec_.tensors[t]);
        }
    }

    const ModelSpec& spec_;
    const WeightSource& weights_;
    const Backend& backend_;
    const Gradients& gradients_;
    const TokenSequences& samples_;
    BackwardPass backward_;
    std::vector<Role> embedding_roles_;
    std::vector<Array<float>> inputs_;  ///< of the blocks
    RoleSums outside_;
};

/// -log p of labels that the model draws; the random number of a row is its own.
LossGradient drawn_labels(const Gradients& gradients, std::uint64_t seed, std::uint64_t start) {
    return [&gradients, seed, start](std::size_t first_row, MatrixView<float> logits) {
        std::vector<double> uniform(logits.rows);
        for (std::size_t r = 0; r < logits.rows; ++r) {
            uniform[r] = random_unit(seed, start + first_row + r);
        }
        if (logits.cols == 1) {
            // The derivative by a normal distribution's mean is itself normal; its sign, with the
            // same mean and variance, serves as well.
            for (std::size_t r = 0; r < logits.rows; ++r) {
                logits(r, 0) = uniform[r] < 0.5 ? -1.0F : 1.0F;
            }
            return;
        }
        std::vector<std::uint32_t> labels(logits.rows);
        gradients.sample(logits, uniform, labels);
        gradients.cross_entropy(logits, labels, logits);
    };
}

}  // namespace

OutputSquares output_squares(const ModelSpec& spec, const WeightSource& weights,
                             const Backend& backend, const Gradients& gradients,
                             const TokenSequences& samples, const LossGradient& loss) {
    return Walk(spec, weights, backend, gradients, samples).run(loss);
}

void run_gradients(const JobContext& context, const GradientTask& task) {
    const ModelSpec& spec = context.spec();
    ThreadPool& pool = *context.device->pool;
    const bool is_reference = context.backend().name() == "reference";
    const auto kind = is_reference ? kernels::BackendKind::reference : kernels::BackendKind::cpu;
    const auto backend = kernels::make_backend(kind, pool);
    const auto gradients = kernels::make_gradients(kind, pool);
    const SourceWeights weights(*context.source);
    const OutputSquares squares =
        output_squares(spec, weights, *backend, *gradients, task.samples,
                       drawn_labels(*gradients, task.seed, task.first_row));
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
