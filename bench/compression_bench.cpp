#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "kernels/backends.hpp"
#include "kernels/cpu/common/blas.hpp"
#include "lib/core/parallel.hpp"
#include "methods/splitting.hpp"

extern "C" void dsyevd_(const char* jobz, const char* uplo, const int* n, double* a, const int* lda,
                        double* w, double* work, const int* lwork, int* iwork, const int* liwork,
                        int* info);

// Speed of calibration and compression on the `cpu` backend, all processors of the process.
// "flops" counts useful multiplications and additions.

namespace {

using namespace lathe;
using kernels::IntegerGridSettings;
using kernels::blas::Transpose;

ThreadPool& pool() {
    static ThreadPool threads(0);
    return threads;
}

const kernels::Backend& backend() {
    static const auto cpu = kernels::make_backend(kernels::BackendKind::cpu, pool());
    return *cpu;
}

/// Numbers in [-1, 1) that are the same in every run.
std::vector<float> numbers(std::size_t n, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<float> values(n);
    for (float& value : values) {
        value = static_cast<float>(static_cast<std::int32_t>(random())) * 0x1p-31F;
    }
    return values;
}

void report_flops(benchmark::State& state, double flops) {
    state.counters["flops"] = benchmark::Counter(flops * static_cast<double>(state.iterations()),
                                                 benchmark::Counter::kIsRate);
}

/// A layer of d inputs and d outputs and its Gram matrix.
struct Layer {
    std::size_t d;
    std::vector<float> inputs;
    std::vector<float> weights;
    std::vector<float> gram;
    std::vector<float> importance;
    std::vector<float> factor;

    explicit Layer(std::size_t d_, std::size_t n_tokens)
        : d(d_),
          inputs(numbers(n_tokens * d, 1)),
          weights(numbers(d * d, 2)),
          gram(d * d),
          importance(d),
          factor(d * d) {
        const MatrixView<float> whole(gram.data(), d, d);
        backend().accumulate_gram({inputs.data(), n_tokens, d}, UpperTriangle<float>(whole));
        backend().mirror_upper(whole);
        for (std::size_t i = 0; i < d; ++i) {
            importance[i] = gram[i * d + i];
        }
    }
    void invert() {
        backend().inverse_factor({gram.data(), d, d}, {.damping = 0.01, .penalty = {}, .order = {}},
                                 {factor.data(), d, d});
    }
};

void BM_Linear(benchmark::State& state) {
    const auto d = static_cast<std::size_t>(state.range(0));
    const std::vector<float> x = numbers(2048 * d, 1);
    const std::vector<float> w = numbers(d * d, 2);
    std::vector<float> y(2048 * d);
    for (auto _ : state) {
        backend().linear({x.data(), 2048, d}, {w.data(), d, d}, {}, {y.data(), 2048, d});
    }
    report_flops(state, 2.0 * 2048.0 * static_cast<double>(d * d));
}

void BM_Gram(benchmark::State& state) {
    const auto d = static_cast<std::size_t>(state.range(0));
    const std::vector<float> x = numbers(2048 * d, 1);
    std::vector<float> gram(triangle_size(d));
    for (auto _ : state) {
        backend().accumulate_gram({x.data(), 2048, d}, {gram.data(), d});
    }
    report_flops(state, 2048.0 * static_cast<double>(d * (d + 1)));
}

void BM_StreamGram(benchmark::State& state) {
    const auto d = static_cast<std::size_t>(state.range(0));
    const std::vector<float> x = numbers(2048 * d, 1);
    std::vector<double> gram(d * d);
    for (auto _ : state) {
        backend().accumulate_stream_gram({x.data(), 2048, d}, {gram.data(), d, d});
    }
    report_flops(state, 2048.0 * static_cast<double>(d * (d + 1)));
}

double seconds_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

/// accumulate_gram against what OpenBLAS gets out of the machine: x^T @ y, [d, 2048] @ [2048, d].
/// OpenBLAS has the choice of one call on all processors and one call of one thread for each. All
/// three take turns within a round, so that a slow spell of a shared machine meets all; reported
/// are medians over the rounds, in useful GFLOP/s, and the ratio to the better of OpenBLAS's two.
void BM_GramAgainstBlas(benchmark::State& state) {
    constexpr std::size_t n_tokens = 2048;
    const auto d = static_cast<std::size_t>(state.range(0));
    const std::size_t n_rounds = d < 1024 ? 101 : 15;  // short calls scatter more
    const std::size_t n_threads = pool().n_threads();
    const std::size_t share = d / n_threads;
    const std::vector<float> x = numbers(n_tokens * d, 1);
    const std::vector<float> y = numbers(n_tokens * d, 2);
    std::vector<float> product(d * d);
    std::vector<float> gram(triangle_size(d));
    const auto multiply = [&](std::size_t first, std::size_t rows) {
        kernels::blas::gemm(Transpose::yes, Transpose::no, 1.0F,
                            {x.data() + first, n_tokens, rows, d}, {y.data(), n_tokens, d}, 0.0F,
                            {product.data() + first * d, rows, d});
    };
    const auto accumulate = [&] {
        backend().accumulate_gram({x.data(), n_tokens, d}, {gram.data(), d});
    };
    accumulate();
    std::vector<double> ours;
    std::vector<double> one_call;
    std::vector<double> call_each;
    for (auto _ : state) {
        for (std::size_t round = 0; round < n_rounds; ++round) {
            ours.push_back(seconds_of(accumulate));
            kernels::blas::use_threads(n_threads);
            one_call.push_back(seconds_of([&] { multiply(0, d); }));
            kernels::blas::use_threads(1);
            // OpenBLAS's threads spin for some 2^26 cycles after a call; the others must not pay
            // for that.
            std::this_thread::sleep_for(std::chrono::milliseconds(60));
            call_each.push_back(seconds_of([&] {
                pool().for_each(n_threads, [&](std::size_t i) { multiply(i * share, share); });
            }));
        }
    }
    const auto width = static_cast<double>(d);
    const double speed = n_tokens * width * (width + 1.0) / median(ours) * 1e-9;
    const double blas = 2.0 * n_tokens * width *
                        std::max(width / median(one_call),
                                 static_cast<double>(share * n_threads) / median(call_each)) *
                        1e-9;
    state.counters["gram GFLOP/s"] = speed;
    state.counters["blas GFLOP/s"] = blas;
    state.counters["ratio"] = speed / blas;
}

void BM_InverseFactor(benchmark::State& state) {
    Layer layer(static_cast<std::size_t>(state.range(0)), 4096);
    for (auto _ : state) {
        layer.invert();
    }
    const auto d = static_cast<double>(layer.d);
    report_flops(state, 2.0 / 3.0 * d * d * d);
}

void BM_RowErrors(benchmark::State& state) {
    const Layer layer(static_cast<std::size_t>(state.range(0)), 512);
    const std::vector<float> gram(layer.gram.begin(), layer.gram.end());
    std::vector<double> errors(layer.d);
    for (auto _ : state) {
        backend().row_errors({layer.weights.data(), layer.d, layer.d},
                             {gram.data(), layer.d, layer.d}, errors);
    }
}

void BM_FitGrid(benchmark::State& state) {
    const Layer layer(static_cast<std::size_t>(state.range(0)), 512);
    const IntegerGridSettings settings{4, 64, state.range(1) != 0};
    const std::size_t d = layer.d;
    const std::size_t n_groups = kernels::group_count(d, settings.group_size);
    std::vector<float> scales(d * n_groups);
    std::vector<float> zeros(d * n_groups);
    for (auto _ : state) {
        backend().fit_integer_grid({layer.weights.data(), d, d}, layer.importance, settings,
                                   {scales.data(), d, n_groups}, {zeros.data(), d, n_groups});
    }
}

/// A whole layer: factor, grids and sweep.
void BM_Gptq(benchmark::State& state) {
    Layer layer(static_cast<std::size_t>(state.range(0)), 4096);
    const IntegerGridSettings settings{4, 64, true};
    const std::size_t d = layer.d;
    const std::size_t n_groups = kernels::group_count(d, settings.group_size);
    std::vector<float> scales(d * n_groups);
    std::vector<float> zeros(d * n_groups);
    std::vector<std::uint8_t> codes(d * d);
    for (auto _ : state) {
        std::vector<float> w = layer.weights;
        layer.invert();
        backend().gptq({w.data(), d, d}, {layer.factor.data(), d, d}, layer.importance, {},
                       settings, {scales.data(), d, n_groups}, {zeros.data(), d, n_groups},
                       {codes.data(), d, d});
    }
}

/// symmetric_eigen against LAPACK's driver, in turns; medians in ms and their ratio.
void BM_EigenAgainstLapack(benchmark::State& state) {
    const auto d = static_cast<std::size_t>(state.range(0));
    const Layer layer(d, 2 * d);
    const std::vector<double> gram(layer.gram.begin(), layer.gram.end());
    std::vector<double> values(d);
    std::vector<double> vectors(d * d);
    const auto lapack = [&] {
        const auto n = static_cast<int>(d);
        const int n_work = 1 + 6 * n + 2 * n * n;
        const int n_integers = 3 + 5 * n;
        int info = 0;
        std::vector<double> work(static_cast<std::size_t>(n_work));
        std::vector<int> integers(static_cast<std::size_t>(n_integers));
        vectors = gram;
        dsyevd_("V", "L", &n, vectors.data(), &n, values.data(), work.data(), &n_work,
                integers.data(), &n_integers, &info);
    };
    const kernels::SymmetricEigenproblem problem{
        {gram.data(), d, d}, values, {vectors.data(), d, d}};
    std::vector<double> ours;
    std::vector<double> one_thread;
    std::vector<double> all_threads;
    for (auto _ : state) {
        for (int round = 0; round < 5; ++round) {
            ours.push_back(seconds_of([&] { backend().symmetric_eigen(std::span(&problem, 1)); }));
            one_thread.push_back(seconds_of(lapack));
            kernels::blas::use_threads(pool().n_threads());
            all_threads.push_back(seconds_of(lapack));
            kernels::blas::use_threads(1);
            std::this_thread::sleep_for(std::chrono::milliseconds(60));
        }
    }
    state.counters["lathe ms"] = 1e3 * median(ours);
    state.counters["dsyevd ms"] = 1e3 * median(all_threads);
    state.counters["one thread ms"] = 1e3 * median(one_thread);
    state.counters["ratio"] = median(all_threads) / median(ours);
}

/// Three iterations of ADMM on 2:4 after a change of the penalty: an inverse, three products, three
/// projections, and the count of places that changed. bench/torch_admm.py does the same.
void BM_SparseAdmm(benchmark::State& state) {
    const Layer layer(static_cast<std::size_t>(state.range(0)), 4096);
    const std::size_t d = layer.d;
    SplittingSystem system({layer.gram.data(), d, d}, 0.01, backend());
    kernels::MatrixLimits limits;
    limits.pattern = {2, 4};
    limits.importance = system.diagonal();
    const MatrixView<const float> w(layer.weights.data(), d, d);
    const auto target = backend().allocate<float>(d * d);
    const auto admm_state = backend().allocate<float>(d * d);
    const auto keep = backend().allocate<std::uint8_t>(d * d);
    auto x = backend().allocate<float>(d * d);
    auto y = backend().allocate<float>(d * d);
    system.multiply(w, target.matrix(d, d));
    backend().project(w, limits, admm_state.matrix(d, d));
    const std::vector<float> penalty = system.penalty(0.3);
    for (auto _ : state) {
        const MatrixView<const float> inverse = system.inverse(0.3);
        backend().project(admm_state.matrix(d, d), limits, x.matrix(d, d));
        backend().splitting_step(x.matrix(d, d), admm_state.matrix(d, d), target.matrix(d, d),
                                 penalty, 1.0F, limits);
        for (int i = 0; i < 3; ++i) {
            backend().linear(x.matrix(d, d), inverse, {}, y.matrix(d, d));
            std::swap(x, y);
            backend().splitting_step(x.matrix(d, d), admm_state.matrix(d, d), target.matrix(d, d),
                                     penalty, 1.0F, limits);
        }
        backend().choose_pattern(admm_state.matrix(d, d), system.diagonal(), {2, 4},
                                 keep.matrix(d, d));
    }
    // Three products, and the inverse of a positive definite matrix.
    const auto n = static_cast<double>(d);
    report_flops(state, (3.0 * 2.0 + 1.0) * n * n * n);
}

/// Two passes of coordinate descent from rounding to nearest, 3 bits.
void BM_DescendOnGrid(benchmark::State& state) {
    const Layer layer(static_cast<std::size_t>(state.range(0)), 4096);
    const IntegerGridSettings settings{3, 64, true};
    const std::size_t d = layer.d;
    const std::size_t n_groups = kernels::group_count(d, settings.group_size);
    const MatrixView<const float> w(layer.weights.data(), d, d);
    const std::vector<float> gram(layer.gram.begin(), layer.gram.end());
    std::vector<float> scales(d * n_groups);
    std::vector<float> zeros(d * n_groups);
    std::vector<std::uint8_t> codes(d * d);
    std::vector<float> values(d * d);
    const MatrixView<float> scale_matrix(scales.data(), d, n_groups);
    const MatrixView<float> zero_matrix(zeros.data(), d, n_groups);
    for (auto _ : state) {
        state.PauseTiming();
        backend().fit_integer_grid(w, layer.importance, settings, scale_matrix, zero_matrix);
        backend().round_to_grid(w, settings, scale_matrix, zero_matrix, {codes.data(), d, d},
                                {values.data(), d, d});
        state.ResumeTiming();
        backend().descend_on_grid(w, {gram.data(), d, d}, settings, 2, {}, scale_matrix,
                                  zero_matrix, {codes.data(), d, d}, {values.data(), d, d});
    }
    report_flops(state, 2.5 * 2.0 * static_cast<double>(d * d) * static_cast<double>(d));
}

// Work is done by the pool's threads, so only the clock on the wall tells.
#define LATHE_BENCHMARK(function)       \
    BENCHMARK(function)                 \
        ->Unit(benchmark::kMillisecond) \
        ->MeasureProcessCPUTime()       \
        ->UseRealTime()                 \
        ->ArgName("d")

LATHE_BENCHMARK(BM_Linear)->Arg(1024)->Arg(2048)->Arg(4096);
LATHE_BENCHMARK(BM_Gram)->Arg(256)->Arg(704)->Arg(1024)->Arg(2048)->Arg(4096);
LATHE_BENCHMARK(BM_StreamGram)->Arg(256)->Arg(1024)->Arg(4096);
LATHE_BENCHMARK(BM_GramAgainstBlas)
    ->Arg(256)
    ->Arg(704)
    ->Arg(1024)
    ->Arg(2048)
    ->Arg(4096)
    ->Iterations(1);
LATHE_BENCHMARK(BM_EigenAgainstLapack)->Arg(256)->Arg(1024)->Arg(2048)->Iterations(1);
LATHE_BENCHMARK(BM_InverseFactor)->Arg(1024)->Arg(2048);
LATHE_BENCHMARK(BM_RowErrors)->Arg(2048);
BENCHMARK(BM_FitGrid)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->ArgNames({"d", "symmetric"})
    ->Args({2048, 1})
    ->Args({2048, 0});
LATHE_BENCHMARK(BM_Gptq)->Arg(1024)->Arg(2048);
LATHE_BENCHMARK(BM_SparseAdmm)->Arg(1024)->Arg(4096);
LATHE_BENCHMARK(BM_DescendOnGrid)->Arg(1024)->Arg(2048);

}  // namespace

BENCHMARK_MAIN();
