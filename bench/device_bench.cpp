// What a backend's kernels take, for shapes of large models:
//
//     device_bench [BACKEND [SCALE]]        (cuda 1)
//
// SCALE divides the sizes, for a look at the program itself on a small machine (cpu 32). Every
// figure is the median of ROUNDS calls after one that is not counted, waited for by reading an
// element of the result; of products of few tokens the share of one in twenty. Bounds come from the
// same run: the memory's bandwidth from copies inside it, the arithmetic's from plain products.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {
namespace {

using Floats = Array<float>;

constexpr int rounds = 5;
/// Of products of few tokens, which take less time than the waiting.
constexpr int calls_per_wait = 20;

std::vector<float> random_numbers(std::size_t n, float deviation) {
    std::vector<float> numbers(n);
    std::uint64_t state = n * 2 + 1;
    for (float& number : numbers) {
        // The sum of two uniform numbers is near enough to a normal one.
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        const auto a = static_cast<float>(state >> 40) * 0x1p-24F - 0.5F;
        const auto b = static_cast<float>(state >> 16 & 0xFFFFFFU) * 0x1p-24F - 0.5F;
        number = (a + b) * deviation * 2.45F;
    }
    return numbers;
}

class Bench {
public:
    Bench(const std::string& backend, std::size_t scale)
        : scale_(scale), pool_(0), backend_(make_backend(backend_from_name(backend), pool_)) {}

    void run() {
        std::printf("backend %.*s, sizes over %zu, medians of %d\n",
                    static_cast<int>(backend_->name().size()), backend_->name().data(), scale_,
                    rounds);
        measure_bandwidth();
        block();
        statistics();
        solvers();
        lookups();
    }

private:
    [[nodiscard]] std::size_t scaled(std::size_t n) const {
        return std::max<std::size_t>(n / scale_ / 64 * 64, 64);
    }

    [[nodiscard]] Floats random(std::size_t rows, std::size_t cols, float deviation) const {
        // One row after the other of a pattern: it need not fit the host's memory twice.
        const std::vector<float> pattern =
            random_numbers(std::min(rows * cols, pattern_size), deviation);
        Floats array = backend_->allocate<float>(rows * cols);
        for (std::size_t at = 0; at < array.size(); at += pattern.size()) {
            const std::size_t n = std::min(pattern.size(), array.size() - at);
            backend_->copy({pattern.data(), 1, n}, MatrixView<float>(array.data() + at, 1, n));
        }
        return array;
    }

    /// Median milliseconds of `work`, whose result is at `result`.
    [[nodiscard]] double milliseconds(const float* result,
                                      const std::function<void()>& work) const {
        std::vector<double> times;
        for (int round = -1; round < rounds; ++round) {
            const auto start = std::chrono::steady_clock::now();
            work();
            (void)backend_->to_host(MatrixView<const float>(result, 1, 1));
            const std::chrono::duration<double, std::milli> time =
                std::chrono::steady_clock::now() - start;
            if (round >= 0) {
                times.push_back(time.count());
            }
        }
        std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
        return times[rounds / 2];
    }

    static void print(const std::string& name, double ms, double flops) {
        std::printf("%-44s %10.3f ms %10.1f GFLOP/s\n", name.c_str(), ms, flops / ms * 1e-6);
    }

    void measure_bandwidth() {
        const std::size_t n = scaled(std::size_t{1} << 30);
        const Floats from = backend_->allocate<float>(n);
        const Floats to = backend_->allocate<float>(n);
        const double ms =
            milliseconds(to.data(), [&] { backend_->copy(from.matrix(1, n), to.matrix(1, n)); });
        bytes_per_ms_ = 2.0 * 4.0 * static_cast<double>(n) / ms;
        std::printf("%-44s %10.3f ms %10.1f GB/s\n", "copy", ms, bytes_per_ms_ * 1e-6);
    }

    /// A block of Llama-2-70B on 32 x 2048 tokens: 80 heads' width 8192, 64 heads on 8.
    void block() {
        const std::size_t hidden = scaled(8192);
        const std::size_t inner = scaled(28672);
        const std::size_t head_dim = scale_ == 1 ? 128 : 64;
        const std::size_t n_heads = hidden / head_dim;
        const std::size_t n_kv = std::max<std::size_t>(n_heads / 8, 1);
        const std::size_t length = scaled(2048);
        const std::size_t n_sequences = std::max<std::size_t>(32 / scale_, 1);
        const std::size_t tokens = length * n_sequences;
        const std::size_t kv = n_kv * head_dim;
        const Floats x = random(tokens, hidden, 1.0F);
        const Floats wide = random(inner, hidden, 0.01F);
        const Floats ones = random(1, hidden, 0.1F);
        const Floats normed = backend_->allocate<float>(tokens * hidden);
        const Floats q = backend_->allocate<float>(tokens * hidden);
        const Floats k = backend_->allocate<float>(tokens * kv);
        const Floats v = backend_->allocate<float>(tokens * kv);
        const Floats gate = backend_->allocate<float>(tokens * inner);
        const Floats up = backend_->allocate<float>(tokens * inner);
        const Floats angles = random(length, head_dim / 2, 1.0F);
        std::vector<std::uint32_t> positions(tokens);
        for (std::size_t t = 0; t < tokens; ++t) {
            positions[t] = static_cast<std::uint32_t>(t % length);
        }
        const auto linear = [&](const Floats& a, std::size_t in, const Floats& y, std::size_t out) {
            backend_->linear(a.matrix(tokens, in), wide.matrix(out, in), {}, y.matrix(tokens, out));
        };
        const auto products = [&] {
            linear(normed, hidden, q, hidden);
            linear(normed, hidden, k, kv);
            linear(normed, hidden, v, kv);
            linear(q, hidden, normed, hidden);
            linear(normed, hidden, gate, inner);
            linear(normed, hidden, up, inner);
            linear(gate, inner, normed, hidden);
        };
        AttentionShape shape;
        shape.n_sequences = n_sequences;
        shape.query_length = length;
        shape.key_length = length;
        shape.n_heads = n_heads;
        shape.n_kv_heads = n_kv;
        shape.head_dim = head_dim;
        shape.scale = 0.1F;
        const MatrixView<const float> table = angles.matrix(length, head_dim / 2);
        const auto attend = [&] {
            backend_->attention(q.matrix(tokens, hidden), k.matrix(tokens, kv),
                                v.matrix(tokens, kv), shape, normed.matrix(tokens, hidden));
        };
        const auto whole = [&] {
            backend_->rms_norm(x.matrix(tokens, hidden), ones.span(), 1e-5F,
                               normed.matrix(tokens, hidden));
            linear(normed, hidden, q, hidden);
            linear(normed, hidden, k, kv);
            linear(normed, hidden, v, kv);
            backend_->rope(q.matrix(tokens, hidden), head_dim, table, table, positions);
            backend_->rope(k.matrix(tokens, kv), head_dim, table, table, positions);
            attend();
            linear(normed, hidden, q, hidden);
            backend_->add(q.matrix(tokens, hidden), x.matrix(tokens, hidden));
            backend_->rms_norm(x.matrix(tokens, hidden), ones.span(), 1e-5F,
                               normed.matrix(tokens, hidden));
            linear(normed, hidden, gate, inner);
            linear(normed, hidden, up, inner);
            backend_->activate_multiply(Activation::silu, gate.matrix(tokens, inner),
                                        up.matrix(tokens, inner), gate.matrix(tokens, inner));
            linear(gate, inner, normed, hidden);
            backend_->add(normed.matrix(tokens, hidden), x.matrix(tokens, hidden));
        };
        const double weights =
            static_cast<double>(hidden * (2 * hidden + 2 * kv) + 3 * hidden * inner);
        const double flops = 2.0 * weights * static_cast<double>(tokens);
        const double attention_flops = 2.0 * static_cast<double>(tokens * length * hidden);
        const double bound = milliseconds(normed.data(), products);
        print("block, its products alone (fp32)", bound, flops);
        print("block, attention", milliseconds(normed.data(), attend), attention_flops);
        const double all = milliseconds(x.data(), whole);
        print("block, forward", all, flops + attention_flops);
        std::printf("%-44s %10.1f %%\n", "  of the bound by its products", 100.0 * bound / all);
    }

    void statistics() {
        const std::size_t d = scaled(8192);
        const std::size_t tokens = scaled(65536);
        const Floats x = random(tokens, d, 1.0F);
        const Floats y = backend_->allocate<float>(d * d);
        const Floats sums = backend_->allocate<float>(triangle_size(d));
        const Array<double> gram = backend_->allocate<double>(d * d);
        const MatrixView<const float> in = x.matrix(tokens, d);
        const auto* result = reinterpret_cast<const float*>(gram.data());
        const double flops = static_cast<double>(tokens) * static_cast<double>(d * (d + 1));
        print("Gram, fp32 in chunks of 2048",
              milliseconds(
                  sums.data(),
                  [&] { backend_->accumulate_gram(in, UpperTriangle<float>(sums.data(), d)); }),
              flops);
        print(
            "Gram of a stream",
            milliseconds(result, [&] { backend_->accumulate_stream_gram(in, gram.matrix(d, d)); }),
            flops);
        print("product of the same operations (fp32)",
              milliseconds(y.data(),
                           [&] {
                               backend_->linear(in.row_range(0, d), in.row_range(0, d), {},
                                                y.matrix(d, d));
                           }),
              2.0 * static_cast<double>(d) * static_cast<double>(d * d));
    }

    void solvers() {
        const std::size_t d = scaled(8192);
        const std::size_t n_groups = d / 64;
        const Floats x = random(2 * d, d, 1.0F);
        const Floats weight = random(d, d, 0.02F);
        const Floats gram = backend_->allocate<float>(d * d);
        backend_->accumulate_gram(x.matrix(2 * d, d), UpperTriangle<float>(gram.matrix(d, d)));
        backend_->mirror_upper(gram.matrix(d, d));
        const std::vector<float> importance(d, 1.0F);
        const Floats factor = backend_->allocate<float>(d * d);
        const Floats w = backend_->allocate<float>(d * d);
        const Floats scales = backend_->allocate<float>(d * n_groups);
        const Floats zeros = backend_->allocate<float>(d * n_groups);
        const Array<std::uint8_t> codes = backend_->allocate<std::uint8_t>(d * d);
        const IntegerGridSettings grid{4, 64, true};
        const double cube = static_cast<double>(d) * static_cast<double>(d * d);
        const auto square = [d](const auto& memory) { return memory.matrix(d, d); };
        print("inverse factor",
              milliseconds(factor.data(),
                           [&] {
                               backend_->inverse_factor(
                                   square(gram), {.damping = 0.01, .penalty = {}, .order = {}},
                                   square(factor));
                           }),
              2.0 / 3.0 * cube);
        print("gptq, 4 bits in groups of 64",
              milliseconds(w.data(),
                           [&] {
                               backend_->copy(square(weight), square(w));
                               backend_->gptq(square(w), square(factor), importance, {}, grid,
                                              scales.matrix(d, n_groups), zeros.matrix(d, n_groups),
                                              square(codes));
                           }),
              cube);
        print("coordinate descent, one pass",
              milliseconds(w.data(),
                           [&] {
                               backend_->descend_on_grid(square(weight), square(gram), grid, 1, {},
                                                         scales.matrix(d, n_groups),
                                                         zeros.matrix(d, n_groups), square(codes),
                                                         square(w));
                           }),
              6.0 * cube);
        MatrixLimits limits;
        limits.grid = &grid;
        limits.scales = scales.matrix(d, n_groups);
        limits.zeros = zeros.matrix(d, n_groups);
        const Floats state = backend_->allocate<float>(d * d);
        const Floats y = backend_->allocate<float>(d * d);
        backend_->copy(square(weight), square(state));
        print("ADMM, one iteration",
              milliseconds(w.data(),
                           [&] {
                               backend_->linear(square(w), square(gram), {}, square(y));
                               backend_->splitting_step(square(w), square(state), square(weight),
                                                        importance, 1.0F, limits);
                           }),
              2.0 * cube);
        const BinaryCodeSettings binary{3, 128, false, 15};
        const Floats terms = backend_->allocate<float>(d * group_count(d, 128) * 3);
        print("binary codes, 3 planes, 15 rounds",
              milliseconds(terms.data(),
                           [&] {
                               backend_->fit_binary_codes(
                                   square(weight), importance, binary, {},
                                   {terms.matrix(d, group_count(d, 128) * 3),
                                    zeros.matrix(d, group_count(d, 128)), square(codes)});
                           }),
              0.0);
        const std::size_t n = scaled(4096);
        const std::vector<float> corner =
            backend_->to_host(square(gram).row_range(0, n).col_range(0, n));
        const std::vector<double> part(corner.begin(), corner.end());
        std::vector<double> values(n);
        std::vector<double> vectors(n * n);
        print("eigenvectors of " + std::to_string(n),
              milliseconds(w.data(),
                           [&] {
                               const SymmetricEigenproblem problem{
                                   {part.data(), n, n}, values, {vectors.data(), n, n}};
                               backend_->symmetric_eigen(std::span(&problem, 1));
                           }),
              9.0 * static_cast<double>(n) * static_cast<double>(n * n));
    }

    /// One to eight tokens times packed weights of OPT-175B's and Llama-2-70B's shapes.
    void lookups() {
        struct Shape {
            std::size_t rows, cols;
        };
        for (const Shape& full : {Shape{12288, 49152}, Shape{49152, 12288}, Shape{12288, 12288},
                                  Shape{8192, 28672}, Shape{28672, 8192}}) {
            const std::size_t rows = scaled(full.rows);
            const std::size_t cols = scaled(full.cols);
            for (const unsigned bits : {2U, 3U, 4U}) {
                for (const std::size_t group : {std::size_t{64}, std::size_t{128}, cols}) {
                    look_up(rows, cols, bits, group, false);
                }
            }
            for (const unsigned bits : {3U, 4U}) {
                look_up(rows, cols, bits, 128, true);
            }
        }
    }

    void look_up(std::size_t rows, std::size_t cols, unsigned bits, std::size_t group,
                 bool uniform) {
        const std::size_t n_scales = group_count(cols, group) * (uniform ? 1 : bits);
        const auto packed =
            backend_->pack({rows, cols, bits, group, uniform, false, LookupTables::fp32,
                            [=](std::size_t row, std::uint8_t* codes, float* scales, float*) {
                                std::uint64_t state = row * 2 + 1;
                                for (std::size_t j = 0; j < cols; ++j) {
                                    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
                                    codes[j] = static_cast<std::uint8_t>(state >> (64 - bits));
                                }
                                std::fill_n(scales, n_scales, 0.0078125F);
                            }});
        const Floats x = random(8, cols, 1.0F);
        const Floats y = backend_->allocate<float>(8 * rows);
        std::printf("%5zu x %5zu q%u g%-5zu %s", rows, cols, bits, group,
                    uniform ? "integer" : "binary ");
        for (const std::size_t tokens : {1, 2, 4, 8}) {
            const PackedProduct product{packed.get(), {}, y.matrix(tokens, rows)};
            const auto multiply = [&] {
                for (int call = 0; call < calls_per_wait; ++call) {
                    backend_->linear(x.matrix(tokens, cols), std::span(&product, 1));
                }
            };
            const double ms = milliseconds(y.data(), multiply) / calls_per_wait;
            const double share = static_cast<double>(packed->size_bytes()) / ms / bytes_per_ms_;
            std::printf("  T%zu %8.4f ms %5.1f %%", tokens, ms, 100.0 * share);
        }
        // What reading the same weights in bf16 takes at the bandwidth of the copies.
        std::printf("  bf16 %8.4f ms\n", 2.0 * static_cast<double>(rows * cols) / bytes_per_ms_);
    }

    static constexpr std::size_t pattern_size = std::size_t{64} << 20;

    std::size_t scale_;
    ThreadPool pool_;
    std::unique_ptr<Backend> backend_;
    double bytes_per_ms_ = 0.0;
};

}  // namespace
}  // namespace lathe::kernels

int main(int argc, char** argv) {
    const std::string backend = argc > 1 ? argv[1] : "cuda";
    const std::size_t scale = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
    try {
        lathe::kernels::Bench(backend, std::max<std::size_t>(scale, 1)).run();
    } catch (const lathe::Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return static_cast<int>(error.code());
    }
    return 0;
}
