// Speed of generation with random weights made on the fly:
//
//     generation_bench CONFIG.json fp32|bf16|bcq|integer|nm|nm_bcq BITS GROUP_SIZE TOKENS
//                      [THREADS [fp32|int8]]
//
// Builds the model that CONFIG.json describes, all linear weights and the embedding in fp32, as
// binary codings, as integer codes or as 2:4 sparse codes, generates TOKENS tokens and prints one
// line of JSON: seconds for each (the median), bytes of weights a token reads, and the largest
// memory the process had; and the energy of a token where the processor counts it. The last
// argument: what tables and digits are kept in.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "bench/dot_bf16.hpp"
#include "bench/energy.hpp"
#include "kernels/backends.hpp"
#include "lib/core/file.hpp"
#include "lib/core/parallel.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/encoding/nm.hpp"
#include "workers/network/generation.hpp"

namespace lathe {
namespace {

std::uint64_t next_random(std::uint64_t& state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/// How weights are stored.
struct Coding {
    std::string name;  ///< "fp32", "bf16", or an encoding
    unsigned num_bits = 3;
    std::size_t group_size = 128;

    [[nodiscard]] bool is_coded() const { return name != "fp32" && name != "bf16"; }
    [[nodiscard]] BcqLayout bcq() const { return {.num_bits = num_bits, .group_size = group_size}; }
    [[nodiscard]] IntegerLayout integer() const { return {num_bits, group_size, true}; }
    [[nodiscard]] NmLayout nm() const {
        return {.n = 2,
                .m = 4,
                .num_bits = num_bits,
                .group_size = group_size,
                .binary = name == "nm_bcq"};
    }
    [[nodiscard]] std::uint64_t bytes(const Shape& shape) const {
        return name == "bcq"       ? bcq_bytes(shape, bcq())
               : name == "integer" ? integer_bytes(shape, integer())
                                   : nm_bytes(shape, nm());
    }
};

/// Weights of about the spread 1 / sqrt(in); norms of 1, biases of 0.
class RandomWeights final : public WeightSource {
public:
    RandomWeights(const ModelSpec& spec, const Coding& coding, LookupTables tables)
        : spec_(spec), coding_(coding), tables_(tables) {}

    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override {
        const TensorSpec& tensor = spec_.tensors.at(index);
        std::vector<float> host(values.rows * values.cols, tensor.is_bias ? 0.0F : 1.0F);
        std::uint64_t state = index * 2 + 1;
        const float spread = std::sqrt(3.0F / static_cast<float>(values.cols));
        for (std::size_t i = 0; tensor.shape.size() == 2 && i < host.size(); ++i) {
            host[i] = spread * (static_cast<float>(next_random(state) >> 40) * 0x1p-23F - 1.0F);
        }
        backend.upload(reinterpret_cast<const std::byte*>(host.data()), DType::f32, values);
    }

    [[nodiscard]] std::optional<EncodedTensor> stored(std::size_t index) const override {
        const Shape& shape = spec_.tensors.at(index).shape;
        if (!coding_.is_coded() || shape.size() != 2) {
            return std::nullopt;
        }
        const auto [rows, cols] = matrix_extents(shape);
        std::uint64_t state = index * 2 + 1;
        std::vector<std::uint8_t> codes(rows * cols);
        for (std::uint8_t& code : codes) {
            code = static_cast<std::uint8_t>(next_random(state) >> (64 - coding_.num_bits));
        }
        const MatrixView<std::uint8_t> code_view(codes.data(), rows, cols);
        const std::size_t n_groups = kernels::group_count(cols, coding_.group_size);
        const bool binary = coding_.name == "bcq" || coding_.name == "nm_bcq";
        const std::size_t n_scales = binary ? coding_.num_bits : 1;
        // Powers of two are fp16 numbers.
        const float spread = std::exp2(std::round(std::log2(1.0F / static_cast<float>(cols)) / 2));
        std::vector<float> scales(rows * n_groups * n_scales);
        for (std::size_t i = 0; i < scales.size(); ++i) {
            scales[i] = n_scales > 1 ? spread / static_cast<float>(2U << (i % n_scales))
                                     : spread / static_cast<float>(1U << (coding_.num_bits - 1));
        }
        const MatrixView<float> scale_view(scales.data(), rows, n_groups * n_scales);
        if (coding_.name == "bcq") {
            return encode_bcq(shape, coding_.bcq(), code_view, scale_view, {});
        }
        if (coding_.name == "integer") {
            return encode_integer(shape, coding_.integer(), code_view, scale_view, {});
        }
        std::vector<std::uint8_t> keep(codes.size());
        for (std::size_t i = 0; i < keep.size(); i += 4) {
            const std::uint64_t first = next_random(state) >> 62;
            keep[i + first] = 1;
            keep[i + (first + 1 + next_random(state) % 3) % 4] = 1;
        }
        return encode_nm_codes(shape, coding_.nm(), {keep.data(), rows, cols}, code_view,
                               scale_view);
    }
    [[nodiscard]] LookupTables tables() const override { return tables_; }

private:
    const ModelSpec& spec_;
    Coding coding_;
    LookupTables tables_;
};

/// Every linear weight of a model in bf16, one after another.
class Bf16Products {
public:
    Bf16Products(const ModelSpec& spec, ThreadPool& pool) : pool_(pool) {
        std::size_t size = 0;
        std::size_t widest = 0;
        for (const TensorSpec& tensor : spec.tensors) {
            const bool looked_up = tensor.role == Role::token_embedding && !spec.tied_head;
            if (tensor.shape.size() == 2 && !looked_up) {
                shapes_.push_back({tensor.shape[0], tensor.shape[1]});
                size += tensor.shape[0] * tensor.shape[1];
                widest = std::max({widest, tensor.shape[0], tensor.shape[1]});
            }
        }
        x_.assign(widest, 0.5F);
        y_.resize(widest);
        weights_ = std::make_unique_for_overwrite<std::uint16_t[]>(size);
        constexpr std::size_t step = std::size_t{1} << 20;
        pool.for_each((size + step - 1) / step, [&](std::size_t tile) {
            std::uint64_t state = tile + 1;
            for (std::size_t i = tile * step; i < std::min(size, (tile + 1) * step); ++i) {
                weights_[i] = static_cast<std::uint16_t>(0x3C00U | (next_random(state) & 0xFFU));
            }
        });
    }

    void run() {
        const std::uint16_t* w = weights_.get();
        for (const auto& [rows, cols] : shapes_) {
            constexpr std::size_t step = 64;
            pool_.for_each((rows + step - 1) / step, [&, rows = rows, cols = cols](std::size_t t) {
                for (std::size_t r = t * step; r < std::min(rows, (t + 1) * step); ++r) {
                    y_[r] = dot_bf16(w + r * cols, x_.data(), cols);
                }
            });
            w += rows * cols;
        }
    }

private:
    ThreadPool& pool_;
    std::vector<std::pair<std::size_t, std::size_t>> shapes_;
    std::unique_ptr<std::uint16_t[]> weights_;
    std::vector<float> x_;
    std::vector<float> y_;
};

int run(int count, char** arguments) {
    const Coding coding{arguments[2], static_cast<unsigned>(std::atoi(arguments[3])),
                        std::strtoul(arguments[4], nullptr, 10)};
    const bool bf16 = coding.name == "bf16";
    const auto tables =
        count > 7 && std::string(arguments[7]) == "int8" ? LookupTables::int8 : LookupTables::fp32;
    const std::size_t n_tokens = std::strtoul(arguments[5], nullptr, 10);
    ThreadPool pool(count > 6 ? std::strtoul(arguments[6], nullptr, 10) : available_processors());
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const ModelSpec spec = read_model_spec(read_file(arguments[1]), arguments[1]);
    std::optional<Bf16Products> products;
    std::optional<SequenceRunner> runner;
    if (bf16) {
        products.emplace(spec, pool);
    } else {
        runner.emplace(spec, RandomWeights(spec, coding, tables), *backend, n_tokens + 2);
    }

    std::uint32_t token = 1;
    std::vector<double> seconds;
    std::optional<EnergyMeter> energy;
    for (std::size_t i = 0; i < n_tokens + 1; ++i) {
        if (i == 1) {
            energy.emplace();
        }
        const auto start = std::chrono::steady_clock::now();
        if (bf16) {
            products->run();
        } else {
            token = choose_token(runner->append(std::span(&token, 1)), {}, 0.0);
        }
        if (i > 0) {  // memory is touched for the first time
            seconds.push_back(
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        }
    }
    const std::optional<double> joules = energy ? energy->joules() : std::nullopt;
    double bytes = 0.0;
    double parameters = 0.0;
    for (const TensorSpec& tensor : spec.tensors) {
        const auto elements = static_cast<double>(element_count(tensor.shape));
        parameters += elements;
        if (tensor.role == Role::token_embedding && !spec.tied_head) {
            continue;  // one row a token
        }
        bytes += coding.is_coded() && tensor.shape.size() == 2
                     ? static_cast<double>(coding.bytes(tensor.shape))
                     : (bf16 ? 2.0 : 4.0) * elements;
    }
    std::nth_element(seconds.begin(),
                     seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2),
                     seconds.end());
    const double typical = seconds[seconds.size() / 2];
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf(
        "{\"parameters\": %.0f, \"seconds_per_token\": %.6f, \"tokens_per_second\": %.3f, "
        "\"weight_bytes_per_token\": %.0f, \"gigabytes_per_second\": %.2f, "
        "\"peak_memory_bytes\": %.0f, \"joules_per_token\": %s}\n",
        parameters, typical, 1.0 / typical, bytes, bytes / typical * 1e-9,
        static_cast<double>(usage.ru_maxrss) * 1024.0,
        joules ? std::to_string(*joules / static_cast<double>(n_tokens)).c_str() : "null");
    return 0;
}

}  // namespace
}  // namespace lathe

int main(int count, char** arguments) {
    if (count < 6) {
        std::fprintf(
            stderr,
            "usage: generation_bench CONFIG.json fp32|bf16|bcq|integer|nm|nm_bcq BITS GROUP_SIZE "
            "TOKENS [THREADS [fp32|int8]]\n");
        return 64;
    }
    try {
        return lathe::run(count, arguments);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "generation_bench: %s\n", error.what());
        return 70;
    }
}
