#include <cmath>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <benchmark/benchmark.h>

#include "kernels/backends.hpp"
#include "kernels/cpu/common/blas.hpp"
#include "lib/core/parallel.hpp"

// The forward pass of the cpu backend over 2048 tokens: one Llama block, its attention, its linear
// layers against the same products in one BLAS call a thread, and the pieces of BERT-base and
// OPT-125M. compare_forward.py sets the same shapes against PyTorch.

namespace lathe::kernels {
namespace {

constexpr std::size_t n_threads = 2;
constexpr std::size_t n_tokens = 2048;
constexpr std::size_t head_dim = 64;

using Floats = Array<float>;

/// Threads, a backend, and arrays with something in them.
struct Machine {
    ThreadPool pool{n_threads};
    std::unique_ptr<Backend> backend = make_backend(BackendKind::cpu, pool);

    [[nodiscard]] Floats random(std::size_t n, float deviation) const {
        Floats array = backend->allocate<float>(n);
        std::mt19937 generator(1);
        std::normal_distribution<float> normal(0.0F, deviation);
        for (float& value : array.span()) {
            value = normal(generator);
        }
        return array;
    }
};

struct BlockShape {
    std::size_t hidden;
    std::size_t intermediate;
    std::size_t n_heads;
    std::size_t n_kv_heads;

    [[nodiscard]] std::size_t kv_width() const { return n_kv_heads * head_dim; }
    /// Floating-point operations of the linear layers over n_tokens.
    [[nodiscard]] double linear_flops() const {
        const std::size_t weights =
            hidden * (2 * hidden + 2 * kv_width()) + 3 * hidden * intermediate;
        return 2.0 * static_cast<double>(weights * n_tokens);
    }
};

/// hidden 1024 or 2048.
BlockShape block_shape(std::size_t hidden) {
    return hidden == 1024 ? BlockShape{1024, 2816, 16, 8} : BlockShape{2048, 5632, 32, 8};
}

AttentionShape attention_shape(const BlockShape& block, std::size_t length) {
    AttentionShape shape;
    shape.n_sequences = n_tokens / length;
    shape.query_length = length;
    shape.key_length = length;
    shape.n_heads = block.n_heads;
    shape.n_kv_heads = block.n_kv_heads;
    shape.head_dim = head_dim;
    shape.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    return shape;
}

/// A Llama block with random weights, and room for what it computes.
class Block {
public:
    Block(const Machine& machine, const BlockShape& shape, std::size_t length)
        : backend_(*machine.backend), shape_(shape), attention_(attention_shape(shape, length)) {
        const std::size_t d = shape.hidden;
        const std::size_t f = shape.intermediate;
        const float deviation = 1.0F / std::sqrt(static_cast<float>(d));
        norm_ = machine.random(d, 1.0F);
        q_w_ = machine.random(d * d, deviation);
        k_w_ = machine.random(shape.kv_width() * d, deviation);
        v_w_ = machine.random(shape.kv_width() * d, deviation);
        o_w_ = machine.random(d * d, deviation);
        gate_w_ = machine.random(f * d, deviation);
        up_w_ = machine.random(f * d, deviation);
        down_w_ = machine.random(d * f, deviation);
        cos_ = machine.random(length * head_dim / 2, 1.0F);
        sin_ = machine.random(length * head_dim / 2, 1.0F);
        normed_ = machine.random(n_tokens * d, 1.0F);
        q_ = machine.random(n_tokens * d, 1.0F);
        k_ = machine.random(n_tokens * shape.kv_width(), 1.0F);
        v_ = machine.random(n_tokens * shape.kv_width(), 1.0F);
        mixed_ = machine.random(n_tokens * d, 1.0F);
        gate_ = machine.random(n_tokens * f, 1.0F);
        up_ = machine.random(n_tokens * f, 1.0F);
        for (std::size_t t = 0; t < n_tokens; ++t) {
            positions_.push_back(static_cast<std::uint32_t>(t % length));
        }
    }

    void run(const Floats& input, Floats& output) {
        const std::size_t d = shape_.hidden;
        const std::size_t kv = shape_.kv_width();
        const MatrixView<float> out = output.matrix(n_tokens, d);
        const MatrixView<float> normed = normed_.matrix(n_tokens, d);
        const MatrixView<float> mixed = mixed_.matrix(n_tokens, d);
        backend_.rms_norm(input.matrix(n_tokens, d), norm_.span(), 1e-5F, normed);
        linear(normed, q_w_, q_.matrix(n_tokens, d));
        linear(normed, k_w_, k_.matrix(n_tokens, kv));
        linear(normed, v_w_, v_.matrix(n_tokens, kv));
        rotate(q_.matrix(n_tokens, d));
        rotate(k_.matrix(n_tokens, kv));
        attend(mixed);
        linear(mixed, o_w_, out);
        backend_.add(input.matrix(n_tokens, d), out);

        const MatrixView<float> gate = gate_.matrix(n_tokens, shape_.intermediate);
        const MatrixView<float> up = up_.matrix(n_tokens, shape_.intermediate);
        backend_.rms_norm(out, norm_.span(), 1e-5F, normed);
        linear(normed, gate_w_, gate);
        linear(normed, up_w_, up);
        backend_.activate_multiply(Activation::silu, gate, up, gate);
        linear(gate, down_w_, mixed);
        backend_.add(mixed, out);
    }

    void attend(MatrixView<float> y) {
        const std::size_t kv = shape_.kv_width();
        backend_.attention(q_.matrix(n_tokens, shape_.hidden), k_.matrix(n_tokens, kv),
                           v_.matrix(n_tokens, kv), attention_, y);
    }
    void attend() { attend(mixed_.matrix(n_tokens, shape_.hidden)); }

private:
    void linear(MatrixView<float> x, const Floats& w, MatrixView<float> y) {
        backend_.linear(x, w.matrix(y.cols, x.cols), {}, y);
    }
    void rotate(MatrixView<float> x) {
        const std::size_t length = attention_.query_length;
        backend_.rope(x, head_dim, cos_.matrix(length, head_dim / 2),
                      sin_.matrix(length, head_dim / 2), positions_);
    }

    const Backend& backend_;
    BlockShape shape_;
    AttentionShape attention_;
    Floats norm_, q_w_, k_w_, v_w_, o_w_, gate_w_, up_w_, down_w_, cos_, sin_;
    Floats normed_, q_, k_, v_, mixed_, gate_, up_;
    std::vector<std::uint32_t> positions_;
};

void report_flops(benchmark::State& state, double flops) {
    state.counters["GFLOP/s"] =
        benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

/// Floating-point operations of causal attention: of each pair of query and key that sees it, a
/// product of two rows and a weighted row.
double attention_flops(const BlockShape& block, std::size_t length) {
    const double pairs = static_cast<double>(n_tokens) * (static_cast<double>(length) + 1.0) / 2.0;
    return pairs * static_cast<double>(4 * block.hidden);
}

void BM_Block(benchmark::State& state) {
    const BlockShape shape = block_shape(static_cast<std::size_t>(state.range(0)));
    const auto length = static_cast<std::size_t>(state.range(1));
    const Machine machine;
    Block block(machine, shape, length);
    const Floats input = machine.random(n_tokens * shape.hidden, 1.0F);
    Floats output = machine.random(n_tokens * shape.hidden, 1.0F);
    for (auto _ : state) {
        block.run(input, output);
    }
    report_flops(state, shape.linear_flops() + attention_flops(shape, length));
}

void BM_Attention(benchmark::State& state) {
    const BlockShape shape = block_shape(static_cast<std::size_t>(state.range(0)));
    const auto length = static_cast<std::size_t>(state.range(1));
    const Machine machine;
    Block block(machine, shape, length);
    for (auto _ : state) {
        block.attend();
    }
    report_flops(state, attention_flops(shape, length));
}

/// All tokens see all tokens of their sequence, in 12 heads: BERT-base; OPT-125M but for the mask.
void BM_BidirectionalAttention(benchmark::State& state) {
    const auto length = static_cast<std::size_t>(state.range(0));
    AttentionShape shape = attention_shape({768, 3072, 12, 12}, length);
    shape.causal = false;
    const Machine machine;
    const Floats q = machine.random(n_tokens * 768, 1.0F);
    const Floats k = machine.random(n_tokens * 768, 1.0F);
    const Floats v = machine.random(n_tokens * 768, 1.0F);
    const Floats y = machine.random(n_tokens * 768, 1.0F);
    for (auto _ : state) {
        machine.backend->attention(q.matrix(n_tokens, 768), k.matrix(n_tokens, 768),
                                   v.matrix(n_tokens, 768), shape, y.matrix(n_tokens, 768));
    }
    report_flops(state, 4.0 * 768.0 * static_cast<double>(n_tokens * length));
}

void BM_LayerNorm(benchmark::State& state) {
    const auto width = static_cast<std::size_t>(state.range(0));
    const Machine machine;
    const Floats x = machine.random(n_tokens * width, 1.0F);
    const Floats weight = machine.random(width, 1.0F);
    const Floats y = machine.random(n_tokens * width, 1.0F);
    for (auto _ : state) {
        machine.backend->layer_norm(x.matrix(n_tokens, width), weight.span(), weight.span(), 1e-5F,
                                    y.matrix(n_tokens, width));
    }
}

/// By the number of the activation.
void BM_Activate(benchmark::State& state) {
    const auto kind = static_cast<Activation>(state.range(0));
    const auto width = static_cast<std::size_t>(state.range(1));
    const Machine machine;
    const Floats x = machine.random(n_tokens * width, 1.0F);
    const Floats y = machine.random(n_tokens * width, 1.0F);
    for (auto _ : state) {
        machine.backend->activate(kind, x.matrix(n_tokens, width), y.matrix(n_tokens, width));
    }
}

void BM_Linear(benchmark::State& state) {
    const auto tokens = static_cast<std::size_t>(state.range(0));
    const auto inputs = static_cast<std::size_t>(state.range(1));
    const auto outputs = static_cast<std::size_t>(state.range(2));
    const Machine machine;
    const Floats x = machine.random(tokens * inputs, 1.0F);
    const Floats w = machine.random(outputs * inputs, 1.0F);
    Floats y = machine.random(tokens * outputs, 1.0F);
    for (auto _ : state) {
        machine.backend->linear(x.matrix(tokens, inputs), w.matrix(outputs, inputs), {},
                                y.matrix(tokens, outputs));
    }
    report_flops(state, 2.0 * static_cast<double>(tokens * inputs * outputs));
}

/// The yardstick for BM_Linear: one BLAS call for each thread, as large as there can be.
void BM_Sgemm(benchmark::State& state) {
    const auto tokens = static_cast<std::size_t>(state.range(0));
    const auto inputs = static_cast<std::size_t>(state.range(1));
    const auto outputs = static_cast<std::size_t>(state.range(2));
    Machine machine;
    const Floats x = machine.random(tokens * inputs, 1.0F);
    const Floats w = machine.random(outputs * inputs, 1.0F);
    Floats y = machine.random(tokens * outputs, 1.0F);
    const std::size_t share = tokens / n_threads;
    for (auto _ : state) {
        machine.pool.for_each(n_threads, [&](std::size_t i) {
            blas::gemm(blas::Transpose::no, blas::Transpose::yes, 1.0F,
                       x.matrix(tokens, inputs).row_range(i * share, share),
                       w.matrix(outputs, inputs), 0.0F,
                       y.matrix(tokens, outputs).row_range(i * share, share));
        });
    }
    report_flops(state, 2.0 * static_cast<double>(n_threads * share * inputs * outputs));
}

BENCHMARK(BM_Block)
    ->ArgNames({"hidden", "length"})
    ->ArgsProduct({{1024, 2048}, {512, 2048}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Attention)
    ->ArgNames({"hidden", "length"})
    ->ArgsProduct({{1024, 2048}, {512, 2048}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_BidirectionalAttention)
    ->ArgName("length")
    ->Arg(128)
    ->Arg(512)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_LayerNorm)
    ->ArgName("width")
    ->Arg(768)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Activate)
    ->ArgNames({"kind", "width"})
    ->Args({static_cast<long>(Activation::gelu), 3072})
    ->Args({static_cast<long>(Activation::relu), 3072})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Linear)
    ->ArgNames({"tokens", "in", "out"})
    ->ArgsProduct({{2048}, {1024}, {1024, 2816}})
    ->Args({2048, 768, 768})
    ->Args({2048, 768, 3072})
    ->Args({2048, 3072, 768})
    ->Args({2048, 2816, 1024})
    ->Args({2048, 2048, 2048})
    ->Args({64, 2048, 2048})
    ->Args({1, 2048, 5632})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Sgemm)
    ->ArgNames({"tokens", "in", "out"})
    ->ArgsProduct({{2048}, {1024}, {1024, 2816}})
    ->Args({2048, 2816, 1024})
    ->Args({2048, 2048, 2048})
    ->Args({64, 2048, 2048})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lathe::kernels

BENCHMARK_MAIN();
