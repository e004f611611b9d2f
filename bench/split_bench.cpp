// Feed-forward layers as they are and split with low rank, in turns:
//   split_bench HIDDEN NEURONS HEAVY RANK SECONDS [THREADS]
//
// A plain layer (up, GELU, down) of BERT's and OPT's kind, with random weights, for one text of 128
// tokens and for 32. Prints the median time of each and their ratio.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "kernels/backends.hpp"
#include "lib/core/parallel.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/low_rank.hpp"
#include "lib/encoding/split.hpp"
#include "workers/network/linear.hpp"

namespace lathe {
namespace {

EncodedTensor random_matrix(std::size_t rows, std::size_t cols) {
    std::mt19937 random(static_cast<unsigned>(rows * 31 + cols));
    std::normal_distribution<float> normal(0.0F, 1.0F / std::sqrt(static_cast<float>(cols)));
    std::vector<float> values(rows * cols);
    std::ranges::generate(values, [&] { return normal(random); });
    return encode_dense(MatrixView<const float>(values.data(), rows, cols), {rows, cols},
                        DType::f16);
}

EncodedTensor split(SplitAxis axis, std::size_t rows, std::size_t cols, std::size_t heavy,
                    std::size_t rank) {
    const bool by_rows = axis == SplitAxis::rows;
    const std::size_t light = (by_rows ? rows : cols) - heavy;
    return encode_split(
        axis, {by_rows ? random_matrix(heavy, cols) : random_matrix(rows, heavy),
               by_rows ? encode_low_rank(random_matrix(light, rank), random_matrix(rank, cols))
                       : encode_low_rank(random_matrix(rows, rank), random_matrix(rank, light))});
}

struct Layer {
    LoadedWeight up;
    LoadedWeight down;
};

double run(const Layer& layer, MatrixView<const float> x, MatrixView<float> hidden,
           MatrixView<float> y, const kernels::Backend& backend) {
    const auto start = std::chrono::steady_clock::now();
    const LinearLayer up{layer.up.view(), {}, hidden};
    multiply_all(backend, false, x, {&up, 1});
    backend.activate(Activation::gelu, hidden, hidden);
    const LinearLayer down{layer.down.view(), {}, y};
    multiply_all(backend, false, hidden, {&down, 1});
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

void compare(const Layer& dense, const Layer& narrow, std::size_t tokens, double seconds,
             const kernels::Backend& backend) {
    const std::size_t hidden_size = dense.down.rows;
    const std::size_t neurons = dense.up.rows;
    const auto x = backend.allocate<float>(tokens * hidden_size);
    const auto hidden = backend.allocate<float>(tokens * neurons);
    const auto y = backend.allocate<float>(tokens * hidden_size);
    std::ranges::fill(x.span(), 0.5F);
    std::vector<double> of_dense;
    std::vector<double> of_narrow;
    double total = 0.0;
    for (int turn = 0; turn < 3 || total < seconds; ++turn) {
        for (auto* times : {&of_dense, &of_narrow}) {
            const Layer& layer = times == &of_dense ? dense : narrow;
            const double time =
                run(layer, x.matrix(tokens, hidden_size), hidden.matrix(tokens, neurons),
                    y.matrix(tokens, hidden_size), backend);
            total += time;
            if (turn > 0) times->push_back(time);  // the first warms up
        }
    }
    std::printf("%5zu tokens: dense %8.3f ms, split %8.3f ms, %.2f times as fast (%zu turns)\n",
                tokens, 1e3 * median(of_dense), 1e3 * median(of_narrow),
                median(of_dense) / median(of_narrow), of_dense.size());
}

int bench(char** arguments, std::size_t threads) {
    const auto number = [&](int i) { return std::strtoul(arguments[i], nullptr, 10); };
    const std::size_t d = number(1);
    const std::size_t f = number(2);
    const std::size_t heavy = number(3);
    const std::size_t rank = number(4);
    ThreadPool pool(threads);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const auto load = [&](const EncodedTensor& tensor) {
        return load_stored(tensor, LookupTables::fp32, *backend);
    };
    const Layer dense{load(random_matrix(f, d)), load(random_matrix(d, f))};
    const Layer narrow{load(split(SplitAxis::rows, f, d, heavy, rank)),
                       load(split(SplitAxis::columns, d, f, heavy, rank))};
    for (const std::size_t tokens : {128, 32 * 128}) {
        compare(dense, narrow, tokens, std::strtod(arguments[5], nullptr), *backend);
    }
    return 0;
}

}  // namespace
}  // namespace lathe

int main(int count, char** arguments) {
    if (count < 6) {
        std::fprintf(stderr, "usage: split_bench HIDDEN NEURONS HEAVY RANK SECONDS [THREADS]\n");
        return 64;
    }
    return lathe::bench(arguments, count > 6 ? std::strtoul(arguments[6], nullptr, 10) : 2);
}
