// Prefill speed of whole models:
//   model_bench DIRECTORY SEQUENCES LENGTH SECONDS [THREADS [INTEGER [INSTRUCTIONS]]]
//
// Runs SEQUENCES x LENGTH random tokens through all blocks and the head, weights in memory, again
// and again for SECONDS, and prints the seconds of each pass. INTEGER: parts that run on whole
// numbers, as of `lathe eval --integer`. INSTRUCTIONS: a variant of the cpu backend, as of
// `runtime.instruction_set`; plain loops still take the best. Says on standard error what memory
// passes take beside the weights. bench/compare_models.py and compare_integers.py start it.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "kernels/backends.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "lib/core/parallel.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/network/forward.hpp"
#include "workers/network/integer_pass.hpp"

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

struct Model {
    const ModelSpec& spec;
    const WeightSource& weights;
    const kernels::Backend& backend;
    const TokenSequences& batch;
};

/// A pass in fp32, its weights loaded.
std::function<void()> forward_pass(const Model& model) {
    struct State {
        ForwardPass forward;
        LoadedWeights embedding;
        LoadedWeights head;
        std::vector<LoadedWeights> blocks;
        kernels::Array<float> stream;
        kernels::Array<float> logits;
    };
    const auto load = [&](std::optional<std::size_t> block, std::span<const Role> roles) {
        return LoadedWeights::load(model.spec, model.weights, model.backend, block, roles);
    };
    const auto state = std::make_shared<State>(State{
        ForwardPass(model.spec, model.backend, model.batch.max_length()), {}, {}, {}, {}, {}});
    state->embedding = load(std::nullopt, ForwardPass::embedding_roles());
    state->head = load(std::nullopt, state->forward.head_roles());
    for (std::size_t b = 0; b < model.spec.n_blocks; ++b) {
        state->blocks.push_back(load(b, {}));
    }
    const std::size_t rows = ForwardPass::head_rows(model.spec, model.batch);
    state->stream = model.backend.allocate<float>(model.batch.tokens() * model.spec.hidden_size);
    state->logits = model.backend.allocate<float>(rows * model.spec.n_outputs());
    return [state, rows, model] {
        const auto hidden = state->stream.matrix(model.batch.tokens(), model.spec.hidden_size);
        state->forward.embed(state->embedding, model.batch, hidden);
        for (const LoadedWeights& block : state->blocks) {
            state->forward.block(block, model.batch, hidden);
        }
        state->forward.final_norm(state->head, hidden);
        state->forward.head(state->head,
                            state->forward.head_input(state->head, model.batch, hidden),
                            state->logits.matrix(rows, model.spec.n_outputs()));
    };
}

/// A pass on whole numbers.
std::function<void()> integer_pass(const Model& model, const IntegerParts& parts) {
    struct State {
        IntegerPass pass;
        MixedWeights embedding;
        MixedWeights head;
        std::vector<MixedWeights> blocks;
        std::vector<float> logits;
    };
    const auto state = std::make_shared<State>(State{
        IntegerPass(model.spec, model.backend, parts, model.batch.max_length()), {}, {}, {}, {}});
    state->embedding =
        state->pass.load(model.weights, std::nullopt, ForwardPass::embedding_roles());
    state->head = state->pass.load(model.weights, std::nullopt, state->pass.head_roles());
    for (std::size_t b = 0; b < model.spec.n_blocks; ++b) {
        state->blocks.push_back(state->pass.load(model.weights, b));
    }
    const std::size_t rows = ForwardPass::head_rows(model.spec, model.batch);
    state->logits.resize(rows * model.spec.n_outputs());
    return [state, rows, model] {
        Flow hidden = state->pass.embed(state->embedding, model.batch);
        for (const MixedWeights& block : state->blocks) {
            state->pass.block(block, model.batch, hidden);
        }
        state->pass.head(state->head,
                         state->pass.head_input(state->head, model.batch, std::move(hidden)),
                         {state->logits.data(), rows, model.spec.n_outputs()});
    };
}

/// A figure of /proc/self/status in MiB, as `VmRSS`.
double memory(const std::string& name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1)) / 1024.0;
    }
    return 0.0;
}

int run(char** arguments, std::size_t threads, const std::string& parts) {
    ThreadPool pool(threads);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const ModelToRun model(arguments[1]);
    const ModelSpec& spec = model.spec();
    const TokenSequences batch =
        random_sequences(std::strtoul(arguments[2], nullptr, 10),
                         std::strtoul(arguments[3], nullptr, 10), spec.vocab_size);
    const double seconds = std::strtod(arguments[4], nullptr);

    const Model loaded{spec, model.weights(), *backend, batch};
    const IntegerParts integer = integer_parts_from(parts);
    const auto pass = integer.any() ? integer_pass(loaded, integer) : forward_pass(loaded);
    using clock = std::chrono::steady_clock;
    const auto since = [](clock::time_point start) {
        return std::chrono::duration<double>(clock::now() - start).count();
    };
    std::ofstream("/proc/self/clear_refs") << "5";  // the peak so far no longer counts
    const double before = memory("VmRSS");
    pass();  // memory is touched for the first time
    std::fprintf(stderr, "%.1f MiB beside the weights\n", memory("VmHWM") - before);
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
        std::fprintf(stderr,
                     "usage: model_bench DIRECTORY SEQUENCES LENGTH SECONDS [THREADS [INTEGER "
                     "[INSTRUCTIONS]]]\n");
        return 64;
    }
    const std::size_t threads =
        count > 5 ? std::strtoul(arguments[5], nullptr, 10) : lathe::available_processors();
    try {
        if (count > 7) lathe::kernels::use_vector_kernels(arguments[7]);
        return lathe::run(arguments, threads, count > 6 ? arguments[6] : "weights");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "model_bench: %s\n", error.what());
        return 70;
    }
}
