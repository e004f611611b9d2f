// Products of a few tokens with packed weights, against dense ones, all from memory:
//
//     lookup_bench [THREADS [ROUNDS [ROWS COLS [TOKENS]]]]
//
// For each shape, bits, group size and kind of tables a row: milliseconds, GB/s of packed weights,
// share of the read bandwidth measured in the same run, and how many times as long OpenBLAS's fp32
// sgemv and a plain bf16 loop take for one token of the same shape. Everything takes turns within a
// round; medians. Of each operand there are as many copies, used in turn, as do not fit the
// last-level cache together.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "bench/dot_bf16.hpp"
#include "kernels/backends.hpp"
#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "lib/core/half.hpp"
#include "lib/core/parallel.hpp"

namespace lathe::kernels {
namespace {

/// More than any last-level cache of the machines at hand.
constexpr std::size_t least_bytes = std::size_t{192} << 20;
/// Where dense weights lie, at least; the largest matrix below takes 896 MiB in fp32.
constexpr std::size_t least_arena_bytes = std::size_t{1} << 30;

std::uint64_t next_random(std::uint64_t& state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

struct Shape {
    std::size_t rows, cols;
};

/// Codes to multiply with: binary ones are looked up, uniform ones of 4 and 8 bits multiplied.
struct Coding {
    unsigned bits;
    std::size_t group_size;
    bool uniform = false;
};

CodedMatrix random_codes(const Shape& shape, const Coding& coding, LookupTables tables) {
    const auto [bits, group_size, uniform] = coding;
    const std::size_t n_scales = group_count(shape.cols, group_size) * (uniform ? 1 : bits);
    return {shape.rows,
            shape.cols,
            bits,
            group_size,
            uniform,
            false,
            tables,
            [=, bits = bits](std::size_t row, std::uint8_t* codes, float* scales, float*) {
                std::uint64_t state = row * 2 + 1;
                for (std::size_t j = 0; j < shape.cols; ++j) {
                    codes[j] = static_cast<std::uint8_t>(next_random(state) >> (64 - bits));
                }
                std::fill_n(scales, n_scales, 0.0078125F);
            }};
}

/// 2:4, with codes or, of 0 bits, fp16 numbers.
NmMatrix random_sparse(const Shape& shape, const Coding& coding) {
    const unsigned bits = coding.bits;
    NmMatrix matrix{.rows = shape.rows,
                    .cols = shape.cols,
                    .pattern = {2, 4},
                    .num_bits = bits,
                    .binary = bits > 0 && !coding.uniform,
                    .value_type = DType::f16,
                    .group_size = coding.group_size,
                    .read = {}};
    const std::size_t n_scales = matrix.groups() * matrix.scales_per_group();
    matrix.read = [=](std::size_t row, const NmRow& to) {
        std::uint64_t state = row * 2 + 1;
        std::fill_n(to.keep, shape.cols, std::uint8_t{0});
        for (std::size_t i = 0; i < shape.cols; i += 4) {
            const std::uint64_t first = next_random(state) >> 62;
            to.keep[i + first] = 1;
            to.keep[i + (first + 1 + next_random(state) % 3) % 4] = 1;
        }
        for (std::size_t i = 0; i < shape.cols / 2; ++i) {
            if (bits == 0) {
                to.values[i] = static_cast<float>(next_random(state) >> 54) * 0x1p-10F;
            } else {
                to.codes[i] = static_cast<std::uint8_t>(next_random(state) >> (64 - bits));
            }
        }
        if (bits > 0) {
            std::fill_n(to.scales, n_scales, 0.0078125F);
        }
    };
    return matrix;
}

LATHE_VECTOR_CLONES
std::uint64_t sum_words(const std::uint64_t* words, std::size_t n) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
        sum += words[i];
    }
    return sum;
}

double seconds_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

/// One thing to time: its bytes of weights, and a call that uses copy i of them.
struct Contender {
    std::string name;
    double bytes;
    std::size_t n_copies;
    std::function<void(std::size_t)> run;
    std::vector<double> seconds = {};
};

std::size_t copies_of(double bytes) {
    return static_cast<std::size_t>(static_cast<double>(least_bytes) / bytes) + 2;
}

class Bench {
public:
    Bench(std::size_t n_threads, std::size_t n_rounds, const Shape& largest, std::size_t n_tokens)
        : arena_bytes_(std::max(least_arena_bytes, 4 * largest.rows * largest.cols)),
          pool_(n_threads),
          backend_(make_backend(BackendKind::cpu, pool_)),
          n_threads_(n_threads),
          n_rounds_(n_rounds),
          n_tokens_(n_tokens),
          memory_(allocate_zeroed(arena_bytes_)) {
        auto* words = static_cast<std::uint32_t*>(memory_.get());
        pool_.for_each(n_threads, [&](std::size_t t) {
            const std::size_t n = arena_bytes_ / 4 / n_threads;
            std::uint64_t state = t + 1;
            for (std::size_t i = t * n; i < (t + 1) * n; ++i) {
                // Two bf16 numbers, or one fp32 number, near 1.
                words[i] =
                    0x3F803F80U | (static_cast<std::uint32_t>(next_random(state)) & 0x7F007FU);
            }
        });
    }

    void run(const Shape& shape, const std::vector<Coding>& codings, bool with_sparse = false) {
        std::vector<Contender> all;
        all.push_back(bandwidth());
        all.push_back(fp32(shape));
        all.push_back(bf16(shape));
        for (const Coding& coding : codings) {
            for (const LookupTables tables : {LookupTables::fp32, LookupTables::int8}) {
                all.push_back(packed(shape, coding, tables));
            }
        }
        if (with_sparse) {
            for (const Coding& coding :
                 {Coding{0, 0}, {4, 128, true}, {1, 128}, {2, 128}, {3, 128}, {4, 128}}) {
                all.push_back(sparse(shape, coding));
            }
        }
        for (std::size_t round = 0; round < n_rounds_ + 1; ++round) {
            for (Contender& contender : all) {
                const double seconds =
                    seconds_of([&] { contender.run(round % contender.n_copies); });
                if (round > 0) {
                    contender.seconds.push_back(seconds);
                }
            }
        }
        const double read = all[0].bytes / median(all[0].seconds);
        for (const Contender& contender : all) {
            const double seconds = median(contender.seconds);
            std::printf(
                "%6zu x %-6zu %-14s %9.3f ms %7.2f GB/s %5.0f %% of read  fp32 %5.2f  bf16 %5.2f\n",
                shape.rows, shape.cols, contender.name.c_str(), seconds * 1e3,
                contender.bytes / seconds * 1e-9, 100 * contender.bytes / seconds / read,
                median(all[1].seconds) / seconds, median(all[2].seconds) / seconds);
        }
        std::fflush(stdout);
    }

private:
    Contender bandwidth() {
        return {"read", static_cast<double>(least_bytes), 4, [this](std::size_t copy) {
                    const auto* begin =
                        static_cast<const std::uint64_t*>(memory_.get()) + copy * least_bytes / 8;
                    const std::size_t n = least_bytes / 8 / n_threads_;
                    std::vector<std::uint64_t> sums(n_threads_);
                    pool_.for_each(n_threads_,
                                   [&](std::size_t t) { sums[t] = sum_words(begin + t * n, n); });
                    volatile std::uint64_t sink = sums[0];
                    (void)sink;
                }};
    }

    Contender fp32(const Shape& shape) {
        const double bytes = 4.0 * static_cast<double>(shape.rows * shape.cols);
        const std::size_t n_copies =
            std::max<std::size_t>(1, arena_bytes_ / (4 * shape.rows * shape.cols));
        return {"fp32 sgemv", bytes, n_copies, [this, shape](std::size_t copy) {
                    x_.assign(shape.cols, 0.5F);
                    y_.resize(shape.rows);
                    const float* w =
                        static_cast<const float*>(memory_.get()) + copy * shape.rows * shape.cols;
                    blas::use_threads(n_threads_);
                    blas::gemv(1.0F, {w, shape.rows, shape.cols}, x_.data(), 0.0F, y_.data());
                    blas::use_threads(1);
                }};
    }

    Contender bf16(const Shape& shape) {
        const double bytes = 2.0 * static_cast<double>(shape.rows * shape.cols);
        const std::size_t n_copies =
            std::max<std::size_t>(1, arena_bytes_ / (2 * shape.rows * shape.cols));
        return {"bf16 loop", bytes, n_copies, [this, shape](std::size_t copy) {
                    x_.assign(shape.cols, 0.5F);
                    y_.resize(shape.rows);
                    const auto* w = static_cast<const std::uint16_t*>(memory_.get()) +
                                    copy * shape.rows * shape.cols;
                    constexpr std::size_t step = 64;
                    pool_.for_each((shape.rows + step - 1) / step, [&](std::size_t tile) {
                        const std::size_t end = std::min(shape.rows, (tile + 1) * step);
                        for (std::size_t r = tile * step; r < end; ++r) {
                            y_[r] = dot_bf16(w + r * shape.cols, x_.data(), shape.cols);
                        }
                    });
                }};
    }

    Contender sparse(const Shape& shape, const Coding& coding) {
        std::vector<std::shared_ptr<const PackedMatrix>> copies;
        const NmMatrix matrix = random_sparse(shape, coding);
        do {
            copies.push_back(backend_->pack(matrix));
        } while (copies.size() < copies_of(static_cast<double>(copies.front()->size_bytes())));
        const std::string name = coding.bits == 0 ? "fp16"
                                                  : (coding.uniform ? "int" : "q") +
                                                        std::to_string(coding.bits) + " g" +
                                                        std::to_string(coding.group_size);
        return product("2:4 " + name, shape, std::move(copies));
    }

    Contender packed(const Shape& shape, const Coding& coding, LookupTables tables) {
        std::vector<std::shared_ptr<const PackedMatrix>> copies;
        copies.push_back(backend_->pack(random_codes(shape, coding, tables)));
        const auto bytes = static_cast<double>(copies.front()->size_bytes());
        while (copies.size() < copies_of(bytes)) {
            copies.push_back(backend_->pack(random_codes(shape, coding, tables)));
        }
        const std::string name =
            (coding.uniform ? "int" : "q") + std::to_string(coding.bits) + " g" +
            (coding.group_size >= shape.cols ? "row" : std::to_string(coding.group_size)) +
            (tables == LookupTables::int8 ? " int8" : " fp32");
        return product(name, shape, std::move(copies));
    }

    Contender product(const std::string& name, const Shape& shape,
                      std::vector<std::shared_ptr<const PackedMatrix>> copies) {
        const auto bytes = static_cast<double>(copies.front()->size_bytes());
        const std::size_t n_copies = copies.size();
        return {name, bytes, n_copies, [this, shape, copies = std::move(copies)](std::size_t copy) {
                    x_.assign(n_tokens_ * shape.cols, 0.5F);
                    y_.resize(n_tokens_ * shape.rows);
                    const PackedProduct product{
                        copies[copy].get(), {}, {y_.data(), n_tokens_, shape.rows}};
                    backend_->linear({x_.data(), n_tokens_, shape.cols}, std::span(&product, 1));
                }};
    }

    std::size_t arena_bytes_;
    ThreadPool pool_;
    std::unique_ptr<Backend> backend_;
    std::size_t n_threads_;
    std::size_t n_rounds_;
    std::size_t n_tokens_;  ///< of packed products; dense ones are of one
    std::shared_ptr<void> memory_;
    std::vector<float> x_;
    std::vector<float> y_;
};

}  // namespace
}  // namespace lathe::kernels

int main(int count, char** arguments) {
    const auto number = [&](int i, std::size_t otherwise) {
        return count > i ? std::strtoul(arguments[i], nullptr, 10) : otherwise;
    };
    using lathe::kernels::Coding;
    const lathe::kernels::Shape shape{number(3, 0), number(4, 0)};
    lathe::kernels::Bench bench(number(1, lathe::available_processors()), number(2, 11), shape,
                                number(5, 1));
    const std::vector<Coding> usual = {{1, 128},       {2, 128},       {2, 128, true},
                                       {3, 128},       {3, 128, true}, {4, 128},
                                       {4, 128, true}, {8, 128},       {8, 128, true}};
    const std::vector<Coding> few = {{2, 128}, {3, 128}, {4, 128}, {4, 128, true}};
    if (shape.rows > 0) {
        const bool large = shape.rows * shape.cols > std::size_t{1} << 27;
        bench.run(shape, large ? few : usual, !large);
        return 0;
    }
    bench.run({8192, 8192}, usual, true);
    bench.run({8192, 8192}, {{2, 32},
                             {2, 64},
                             {4, 32},
                             {4, 32, true},
                             {4, 64},
                             {4, 64, true},
                             {4, 8192},
                             {4, 8192, true}});
    bench.run({4096, 14336}, usual, true);
    bench.run({12288, 12288}, few);
    bench.run({8192, 28672}, {{2, 128}, {4, 128}, {4, 128, true}});
    return 0;
}
