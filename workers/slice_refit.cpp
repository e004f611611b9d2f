#include "workers/slice_refit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/cut_weights.hpp"
#include "workers/forward.hpp"
#include "workers/fused_weights.hpp"
#include "workers/input_shift.hpp"
#include "workers/rotation.hpp"
#include "workers/sample_share.hpp"
#include "workers/slice_fit.hpp"
#include "workers/sliced_model.hpp"

namespace lathe {

/// The streams of this rank's samples on their way through the model.
class SliceRefitter::Pass {
public:
    Pass(const JobContext& context, const std::vector<std::size_t>& widths)
        : context_(context),
          backend_(context.backend()),
          source_(*context.fused),
          widths_(widths),
          target_(describe_sliced(context.given_model(), *context.job.slice, widths)),
          weights_(context, target_, widths_),
          share_(*context.world, read_samples(context.run.samples()).calibration),
          source_forward_(source_.spec, backend_, samples().max_length()),
          forward_(target_.spec, backend_, samples().max_length()),
          source_stream_(allocate(samples().tokens())),
          stream_(allocate(samples().tokens())) {
        for (kernels::Array<float>& memory : memory_) {
            memory = allocate(share_.most_tokens());
        }
        embed(source_forward_, load(source_.spec, source_.weights, {}), source_stream_,
              source_.spec.hidden_size);
        embed(forward_, load(target_.spec, weights_, {}), stream_, widths_.front());
    }

    /// The block that the streams stand before.
    [[nodiscard]] std::size_t block() const { return block_; }

    /// Passes a block that is fitted already.
    void repeat() {
        const std::vector<StepFit> fits = read_slice_fit(context_.run.slice_fit(place()));
        for (std::size_t step = 0; step < fits.size(); ++step) {
            weights_.refit(boundary(step), fits[step]);
            advance_source(step);
            advance(step);
        }
        ++block_;
    }

    /// Fits a block and passes it; at the end, what reads the stream there.
    void run(const std::string& fingerprint) {
        std::vector<StepFit> fits;
        if (block_ == source_.spec.n_blocks) {
            fits.push_back({fit_reading(0), {}});
        } else {
            for (std::size_t step = 0; step < source_.spec.steps_per_block(); ++step) {
                fits.push_back(fit_step(step));
            }
        }
        if (share_.leads()) {
            write_slice_fit(context_.run.slice_fit(place()), fits, fingerprint);
        }
        ++block_;
    }

private:
    [[nodiscard]] const TokenSequences& samples() const { return share_.samples(); }
    [[nodiscard]] std::size_t boundary(std::size_t step) const {
        return block_ * source_.spec.steps_per_block() + step;
    }
    [[nodiscard]] std::string place() const {
        return boundary_place(source_.spec, boundary(0)).name;
    }
    [[nodiscard]] kernels::Array<float> allocate(std::size_t tokens) const {
        return backend_.allocate<float>(tokens * source_.spec.hidden_size);
    }
    /// A batch of the source's stream.
    [[nodiscard]] MatrixView<float> source_part(const SequenceRange& range) const {
        return source_stream_.matrix(samples().tokens(), source_.spec.hidden_size)
            .row_range(range.first_token, range.tokens);
    }
    /// A batch of the sliced model's, packed at the start of the batch's memory.
    [[nodiscard]] MatrixView<float> part(const SequenceRange& range, std::size_t width) const {
        return {stream_.data() + range.first_token * source_.spec.hidden_size, range.tokens, width};
    }

    /// The weights of a step of this block; of none, those of the embedding.
    [[nodiscard]] LoadedWeights load(const ModelSpec& spec, const WeightSource& weights,
                                     std::optional<std::size_t> step) const {
        if (!step) {
            return LoadedWeights::load(spec, weights, backend_, {}, ForwardPass::embedding_roles());
        }
        return LoadedWeights::load(spec, weights, backend_, block_, roles_of(spec, *step));
    }

    void embed(ForwardPass& forward, const LoadedWeights& embedding,
               const kernels::Array<float>& stream, std::size_t width) {
        for (const SequenceRange& range : share_.batches()) {
            forward.embed(embedding, samples().part(range),
                          {stream.data() + range.first_token * source_.spec.hidden_size,
                           range.tokens, width});
        }
    }

    void advance_source(std::size_t step) {
        const LoadedWeights loaded = load(source_.spec, source_.weights, step);
        for (const SequenceRange& range : share_.batches()) {
            source_forward_.step(step, loaded, samples().part(range), source_part(range));
        }
    }
    void advance(std::size_t step) {
        const LoadedWeights loaded = load(target_.spec, weights_, step);
        for (const SequenceRange& range : share_.batches()) {
            const MatrixView<float> after = forward_.step(step, loaded, samples().part(range),
                                                          part(range, widths_[boundary(step)]));
            if (!backend_.all_finite(after)) {
                throw DataError("the activations after " + place() +
                                " of the sliced model are not finite (NaN or infinity) on the "
                                "calibration samples");
            }
        }
    }

    StepFit fit_step(std::size_t step) {
        StepFit fit{fit_reading(step), {}};
        weights_.refit(boundary(step), fit);
        advance_source(step);
        for (const StreamWriter& writer : writers_of(source_.spec, step)) {
            fit.writing[writer.role] = fit_writing(step, writer);
            weights_.refit(boundary(step), fit, writer.role);
        }
        advance(step);
        return fit;
    }

    /// The basis of the stream at a boundary, in backend memory: [width, hidden_size] or turned.
    [[nodiscard]] kernels::Array<float> basis(std::size_t boundary, bool turned) const {
        const std::size_t hidden = source_.spec.hidden_size;
        const std::size_t width = widths_[boundary];
        std::vector<double> rows = stream_basis(context_, boundary, width);
        if (turned) {
            std::vector<double> columns(rows.size());
            for (std::size_t i = 0; i < width; ++i) {
                for (std::size_t j = 0; j < hidden; ++j) {
                    columns[j * width + i] = rows[i * hidden + j];
                }
            }
            rows = std::move(columns);
        }
        kernels::Array<float> memory = backend_.allocate<float>(rows.size());
        backend_.upload(reinterpret_cast<const std::byte*>(rows.data()), DType::f64,
                        memory.matrix(turned ? hidden : width, turned ? width : hidden));
        return memory;
    }

    /// y = x / sqrt(|x|^2 / hidden_size + epsilon), for a stream x of any width.
    void norm(MatrixView<const float> x, MatrixView<float> y) const {
        const float share =
            static_cast<float>(source_.spec.hidden_size) / static_cast<float>(x.cols);
        const std::vector<float> factors(x.cols, std::sqrt(share));
        backend_.rms_norm(x, factors, source_.spec.norm_epsilon * share, y);
    }

    /// expected - found, on the host.
    [[nodiscard]] std::vector<float> missing(MatrixView<const float> expected,
                                             MatrixView<const float> found) const {
        std::vector<float> lacks(expected.rows * expected.cols);
        std::vector<float> host(lacks.size());
        backend_.download(expected, lacks.data());
        backend_.download(found, host.data());
        std::ranges::transform(lacks, host, lacks.begin(), std::minus<>());
        return lacks;
    }

    /// What is to be added to weights of so many rows; empty if nothing helps.
    [[nodiscard]] std::vector<float> correction(const InputShift& shift, std::size_t rows,
                                                MatrixView<const float> readers = {}) const {
        const kernels::Array<float> memory = backend_.allocate<float>(rows * shift.width());
        const MatrixView<float> change = memory.matrix(rows, shift.width());
        const auto penalty = shift.choose_penalty({&change, 1}, readers);
        if (!penalty) {
            return {};
        }
        shift.correct({&change, 1}, *penalty);
        return backend_.to_host(change);
    }

    /// Sums over the samples of all ranks.
    template <class Add>
    [[nodiscard]] InputShift add_up(const Add& add) const {
        return share_.add_up([&] { return InputShift(backend_); }, add);
    }

    std::vector<float> fit_reading(std::size_t step) {
        const std::size_t hidden = source_.spec.hidden_size;
        const std::size_t width = widths_[boundary(step)];
        const kernels::Array<float> turned = basis(boundary(step), true);
        const InputShift shift = add_up([&](InputShift& sums, const SequenceRange& range) {
            const auto memory = [&](std::size_t m, std::size_t cols) {
                return memory_[m].matrix(range.tokens, cols);
            };
            norm(source_part(range), memory(0, hidden));
            norm(part(range, width), memory(1, width));
            backend_.linear(memory(1, width), turned.matrix(hidden, width), {}, memory(2, hidden));
            sums.add(memory(1, width));
            const std::vector<float> lacks = missing(memory(0, hidden), memory(2, hidden));
            sums.add_missing_output({lacks.data(), range.tokens, hidden});
        });
        const ReaderWeights readers = stacked_readers(step);
        return correction(shift, hidden, readers.values.matrix(readers.rows, hidden));
    }

    /// The source's weights that read the normed stream before a step, or at the end, one below the
    /// other. [rows, hidden_size]
    struct ReaderWeights {
        std::size_t rows = 0;
        kernels::Array<float> values;
    };
    [[nodiscard]] ReaderWeights stacked_readers(std::size_t step) const {
        const bool is_end = block_ == source_.spec.n_blocks;
        const LoadedWeights loaded =
            is_end ? LoadedWeights::load(source_.spec, source_.weights, backend_, {},
                                         std::array{Role::lm_head})
                   : load(source_.spec, source_.weights, step);
        std::vector<MatrixView<const float>> parts;
        ReaderWeights readers;
        for (const Role role : {Role::q_proj, Role::k_proj, Role::v_proj, Role::gate_proj,
                                Role::up_proj, Role::lm_head}) {
            if (loaded.has(role)) {
                parts.push_back(loaded.weight(role).values);
                readers.rows += parts.back().rows;
            }
        }
        const std::size_t hidden = source_.spec.hidden_size;
        readers.values = backend_.allocate<float>(readers.rows * hidden);
        const MatrixView<float> all = readers.values.matrix(readers.rows, hidden);
        std::size_t first = 0;
        for (const MatrixView<const float>& part : parts) {
            backend_.copy(part, all.row_range(first, part.rows));
            first += part.rows;
        }
        return readers;
    }

    /// @pre  the source's stream has passed the step already
    std::vector<float> fit_writing(std::size_t step, const StreamWriter& writer) {
        const std::size_t hidden = source_.spec.hidden_size;
        const std::size_t width = widths_[boundary(step)];
        const std::size_t next = widths_[boundary(step) + 1];
        const kernels::Array<float> rows = basis(boundary(step) + 1, false);
        const LoadedWeights loaded = load(target_.spec, weights_, step);
        const InputShift shift = add_up([&](InputShift& sums, const SequenceRange& range) {
            const auto observe = [&](Signal signal, MatrixView<const float> x) {
                if (signal == writer.input) {
                    sums.add(x);
                }
            };
            const MatrixView<float> trial = memory_[0].matrix(range.tokens, width);
            backend_.copy(part(range, width), trial);
            const MatrixView<float> found =
                forward_.step(step, loaded, samples().part(range), trial, observe);
            const MatrixView<float> expected = memory_[1].matrix(range.tokens, next);
            backend_.linear(source_part(range), rows.matrix(next, hidden), {}, expected);
            const std::vector<float> lacks = missing(expected, found);
            sums.add_missing_output({lacks.data(), range.tokens, next});
        });
        return correction(shift, next);
    }

    const JobContext& context_;
    const kernels::Backend& backend_;
    const FusedModel& source_;
    std::vector<std::size_t> widths_;
    SlicedModel target_;
    CutWeights weights_;
    SampleShare share_;
    ForwardPass source_forward_;
    ForwardPass forward_;
    kernels::Array<float> source_stream_;          ///< [tokens of the share, hidden_size]
    kernels::Array<float> stream_;                 ///< the same memory, of the sliced model
    std::array<kernels::Array<float>, 3> memory_;  ///< of a batch
    std::size_t block_ = 0;
};

SliceRefitter::SliceRefitter(const JobContext& context) : context_(context) {}
SliceRefitter::~SliceRefitter() = default;

void SliceRefitter::run(const RefitTask& task) {
    if (!pass_ || pass_->block() > task.block) {
        pass_.reset();  // before memory for another is asked for
        pass_ = std::make_unique<Pass>(context_, task.widths);
    }
    while (pass_->block() < task.block) {
        pass_->repeat();
    }
    pass_->run(task.fingerprint);
}

std::string to_json(const RefitTask& task) {
    return nlohmann::json{
        {"block", task.block}, {"widths", task.widths}, {"fingerprint", task.fingerprint}}
        .dump();
}

RefitTask refit_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("block"), json.at("widths").get<std::vector<std::size_t>>(),
            json.at("fingerprint")};
}

}  // namespace lathe
