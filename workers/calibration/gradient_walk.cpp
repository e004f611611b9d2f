#include "workers/calibration/gradient_walk.hpp"

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/random.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;
using kernels::BackendKind;
using kernels::Gradients;

class Walk {
public:
    Walk(const ModelSpec& spec, const WeightSource& weights, const Backend& backend,
         const Gradients& gradients, const TokenSequences& samples)
        : spec_(spec),
          weights_(weights),
          backend_(backend),
          samples_(samples),
          backward_(spec, backend, gradients, samples.max_length()),
          embedding_roles_(ForwardPass::embedding_roles()) {}

    void run(const LossGradient& loss, const PlaceObserver& observer_at) {
        const Array<float> stream = allocate();
        go_forwards(stream);
        const Array<float> d = allocate();
        MatrixView<float> derivative = view(d, spec_.n_blocks);
        const GradientObserver outside = observer_at(std::nullopt);
        backward_.head(load(std::nullopt, backward_.forward().head_roles()), samples_,
                       view(stream, spec_.n_blocks), loss, derivative, outside);
        for (std::size_t b = spec_.n_blocks; b-- > 0;) {
            derivative = backward_.block(load(b, {}), samples_, view(inputs_[b], b), derivative,
                                         observer_at(b));
            if (!backend_.all_finite(derivative)) {
                throw DataError("the derivatives by the input of block " + std::to_string(b) +
                                " are not finite (NaN or infinity)");
            }
        }
        backward_.embed(load(std::nullopt, embedding_roles_), samples_, derivative, outside);
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

    const ModelSpec& spec_;
    const WeightSource& weights_;
    const Backend& backend_;
    const TokenSequences& samples_;
    BackwardPass backward_;
    std::vector<Role> embedding_roles_;
    std::vector<Array<float>> inputs_;  ///< of the blocks
};

BackendKind host_kind(const JobContext& context) {
    return context.backend().name() == "reference" ? BackendKind::reference : BackendKind::cpu;
}

}  // namespace

void walk_back(const ModelSpec& spec, const WeightSource& weights, const Backend& backend,
               const Gradients& gradients, const TokenSequences& samples, const LossGradient& loss,
               const PlaceObserver& observer_at) {
    Walk(spec, weights, backend, gradients, samples).run(loss, observer_at);
}

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

HostGradients::HostGradients(const JobContext& context)
    : backend(kernels::make_backend(host_kind(context), *context.device->pool)),
      gradients(kernels::make_gradients(host_kind(context), *context.device->pool)) {}

}  // namespace lathe
