// Prefill speed of whole models: model_bench DIRECTORY SEQUENCES LENGTH SECONDS [THREADS]
//
// Runs SEQUENCES x LENGTH random tokens through all blocks and the head, weights in memory, again
// and again for SECONDS, and prints the seconds of each pass. bench/compare_models.py starts it.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "kernels/backends.hpp"
#include "lib/core/parallel.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/network/forward.hpp"

namespace lathe {
namespace {

TokenSequences random_sequences(std::size_t count, std::size_t length, std::size_t vocab_size) {
    std::mt19937 random(1);
    TokenSequences sequences;
    for (std::size_t s = 0; s < count; ++s) {
        std::vector<std::uint32_t> ids(length);
        for (std::uint32_t& id : ids) id = static_cast<std::uint32_t>(random() % vocab_size);
        sequences.append(ids);
    }
    return sequences;
}

int run(char** arguments, std::size_t threads) {
    ThreadPool pool(threads);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const ModelToRun model(arguments[1]);
    const ModelSpec& spec = model.spec();
    const TokenSequences batch =
        random_sequences(std::strtoul(arguments[2], nullptr, 10),
                         std::strtoul(arguments[3], nullptr, 10), spec.vocab_size);
    const double seconds = std::strtod(arguments[4], nullptr);

    ForwardPass forward(spec, *backend, batch.max_length());
    const LoadedWeights embedding = LoadedWeights::load(
        spec, model.weights(), *backend, std::nullopt, ForwardPass::embedding_roles());
    const LoadedWeights head =
        LoadedWeights::load(spec, model.weights(), *backend, std::nullopt, forward.head_roles());
    std::vector<LoadedWeights> blocks;
    for (std::size_t b = 0; b < spec.n_blocks; ++b)
        blocks.push_back(LoadedWeights::load(spec, model.weights(), *backend, b));

    const auto stream = backend->allocate<float>(batch.tokens() * spec.hidden_size);
    const MatrixView<float> hidden = stream.matrix(batch.tokens(), spec.hidden_size);
    const std::size_t rows = ForwardPass::head_rows(spec, batch);
    const auto logits = backend->allocate<float>(rows * spec.n_outputs());

    using clock = std::chrono::steady_clock;
    const auto since = [](clock::time_point start) {
        return std::chrono::duration<double>(clock::now() - start).count();
    };
    const auto pass = [&] {
        forward.embed(embedding, batch, hidden);
        for (const LoadedWeights& block : blocks) forward.block(block, batch, hidden);
        forward.final_norm(head, hidden);
        forward.head(head, forward.head_input(head, batch, hidden),
                     logits.matrix(rows, spec.n_outputs()));
    };
    pass();  // memory is touched for the first time
    const auto begin = clock::now();
    do {
        const auto start = clock::now();
        pass();
        std::printf("%.6f\n", since(start));
    } while (since(begin) < seconds);
    return 0;
}

}  // namespace
}  // namespace lathe

int main(int count, char** arguments) {
    if (count < 5) {
        std::fprintf(stderr, "usage: model_bench DIRECTORY SEQUENCES LENGTH SECONDS [THREADS]\n");
        return 64;
    }
    const std::size_t threads =
        count > 5 ? std::strtoul(arguments[5], nullptr, 10) : lathe::available_processors();
    try {
        return lathe::run(arguments, threads);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "model_bench: %s\n", error.what());
        return 70;
    }
}
