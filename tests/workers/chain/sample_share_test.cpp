// Sums over samples that the ranks have shared out. Every rank runs every test.

#include "workers/chain/sample_share.hpp"

#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backends.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/parallel.hpp"
#include "tests/support/mpi_main.hpp"
#include "workers/network/forward.hpp"
#include "workers/statistics/input_shift.hpp"
#include "workers/statistics/signal_statistics.hpp"

namespace lathe {
namespace {

/// Token t of all is t; sequences of different lengths, 1.5 of them a batch.
TokenSequences counted_samples(std::size_t n_sequences) {
    TokenSequences samples;
    std::uint32_t next = 0;
    for (std::size_t s = 0; s < n_sequences; ++s) {
        std::vector<std::uint32_t> ids(1200 + 7 * (s % 3));
        std::iota(ids.begin(), ids.end(), next);
        next += static_cast<std::uint32_t>(ids.size());
        samples.append(ids);
    }
    return samples;
}

/// In fp32, so that the order of additions shows.
struct RoundedSum {
    float sum = 0.0F;
    [[nodiscard]] std::vector<double> shape() const { return {1.0}; }
    [[nodiscard]] std::vector<SumArray> arrays(std::span<const double> /*shape*/) {
        return {{std::span(&sum, 1)}};
    }
};

RoundedSum sum_of_roots(comm::Communicator& world, const TokenSequences& samples) {
    const SampleShare share(world, samples);
    return share.add_up([] { return RoundedSum{}; },
                        [&](RoundedSum& sums, const SequenceRange& batch) {
                            for (const std::uint32_t id : share.samples().part(batch).ids) {
                                sums.sum += std::sqrt(static_cast<float>(id));
                            }
                        });
}

TEST(SampleShare, EverySampleIsInOneShare) {
    // Fewer batches than ranks, fewer than parts, and more.
    for (const std::size_t n : {1, 2, 5, 8, 29}) {
        const TokenSequences samples = counted_samples(n);
        const SampleShare share(test_world(), samples);
        const std::vector<SequenceRange> all_batches = samples.ranges(tokens_per_batch);
        EXPECT_EQ(share.n_batches(), all_batches.size());
        struct Counts {
            std::vector<double> of_id;
            [[nodiscard]] std::vector<double> shape() const { return {0.0}; }
            [[nodiscard]] std::vector<SumArray> arrays(std::span<const double> /*shape*/) {
                return {{std::span(of_id)}};
            }
        };
        const auto none = [&] { return Counts{std::vector<double>(samples.tokens())}; };
        const Counts found = share.add_up(none, [&](Counts& sums, const SequenceRange& batch) {
            for (const std::uint32_t id : share.samples().part(batch).ids) {
                sums.of_id[id] += 1.0;
            }
            EXPECT_LE(batch.tokens, share.most_tokens());
            EXPECT_EQ(samples.part(all_batches.at(share.number_of(batch))).ids,
                      share.samples().part(batch).ids);
        });
        EXPECT_EQ(found.of_id, std::vector<double>(samples.tokens(), 1.0)) << n;
    }
}

TEST(SampleShare, SumsHaveTheBitsOfOneRank) {
    const auto alone = comm::make_local_communicator();
    for (const std::size_t n : {3, 29, 64}) {
        const TokenSequences samples = counted_samples(n);
        EXPECT_EQ(sum_of_roots(test_world(), samples).sum, sum_of_roots(*alone, samples).sum) << n;
    }
}

TEST(SampleShare, ARankThatGivesUpStopsTheOthers) {
    comm::Communicator& world = test_world();
    if (world.size() == 1) {
        GTEST_SKIP() << "needs two ranks";
    }
    const int failing = world.size() - 1;
    const SampleShare share(world, counted_samples(29));
    const auto work = [&] {
        with_all_ranks(world, [&] {
            if (world.rank() == failing) {
                throw DataError("not finite");
            }
            (void)share.add_up([] { return RoundedSum{}; },
                               [](RoundedSum&, const SequenceRange&) {});
        });
    };
    if (world.rank() == failing) {
        EXPECT_THROW(work(), DataError);
    } else {
        EXPECT_THROW(work(), StoppedError);
    }
    // What was sent and not asked for is read here, up to a word of its own, so that no later test
    // gets it.
    const std::vector<std::byte> last{std::byte{7}};
    for (int rank = 0; rank < world.size(); ++rank) {
        world.send(rank, comm::Tag::share, last);
    }
    for (int rank = 0; rank < world.size(); ++rank) {
        while (world.receive(rank, comm::Tag::share).value().bytes != last) {
        }
    }
}

// More than a piece, so that pieces are asked for while others are under way; 3 MiB of the second.
TEST(SampleShare, LongArraysArriveWhole) {
    struct Long {
        std::vector<float> floats = std::vector<float>((std::size_t{11} << 20) / sizeof(float));
        [[nodiscard]] std::vector<double> shape() const { return {0.0}; }
        [[nodiscard]] std::vector<SumArray> arrays(std::span<const double> /*shape*/) {
            return {{std::span(floats)}};
        }
    };
    const TokenSequences samples = counted_samples(5);
    const SampleShare share(test_world(), samples);
    const Long found = share.add_up([] { return Long{}; },
                                    [&](Long& sums, const SequenceRange& batch) {
                                        for (std::size_t i = 0; i < sums.floats.size(); ++i) {
                                            sums.floats[i] +=
                                                static_cast<float>(batch.count * (i % 1000));
                                        }
                                    });
    for (std::size_t i = 0; i < found.floats.size(); ++i) {
        ASSERT_EQ(found.floats[i], static_cast<float>(5 * (i % 1000))) << i;
    }
}

TEST(SumTree, NodesOfSharesMakeTheTreeOfAll) {
    for (std::size_t n = 0; n < 9; ++n) {
        for (std::size_t middle = 0; middle <= n; ++middle) {
            std::vector<SumNode> nodes = nodes_of(0, middle);
            for (const SumNode& next : nodes_of(middle, n)) {
                nodes.push_back(next);
                while (nodes.size() > 1 && nodes[nodes.size() - 2].is_left_of(nodes.back())) {
                    nodes[nodes.size() - 2].count += nodes.back().count;
                    nodes.pop_back();
                }
            }
            const std::vector<SumNode> all = nodes_of(0, n);
            ASSERT_EQ(nodes.size(), all.size()) << n << ", " << middle;
            for (std::size_t i = 0; i < all.size(); ++i) {
                EXPECT_EQ(nodes[i].first, all[i].first);
                EXPECT_EQ(nodes[i].count, all[i].count);
            }
        }
    }
}

/// All numbers of some sums.
template <class Sums>
std::vector<double> numbers_of(Sums& sums) {
    std::vector<double> numbers;
    for (const SumArray& array : sums.arrays(sums.shape())) {
        std::visit([&](const auto& own) { numbers.insert(numbers.end(), own.begin(), own.end()); },
                   array.values);
    }
    return numbers;
}

/// A batch's values: [tokens, cols]
std::vector<float> values_of(const TokenSequences& part, std::size_t cols) {
    std::vector<float> values;
    for (const std::uint32_t id : part.ids) {
        for (std::size_t j = 0; j < cols; ++j) {
            values.push_back(std::sin(static_cast<float>(id % 97 + 13 * j * j)));
        }
    }
    return values;
}

TEST(SampleShare, StatisticsAndShiftsAreSums) {
    ThreadPool pool(1);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const TokenSequences samples = counted_samples(7);
    const auto add_to_statistics = [&](const TokenSequences& part, StatisticsCollector& sums) {
        const std::vector<float> x = values_of(part, 5);
        sums.add(Signal::stream_in, {x.data(), part.tokens(), 5});
        sums.add(Signal::mlp_in, {x.data(), part.tokens(), 4, 5});
    };
    const auto add_to_shift = [&](const TokenSequences& part, InputShift& sums) {
        const std::vector<float> x = values_of(part, 5);
        const std::vector<float> lacks = values_of(part, 3);
        sums.add({x.data(), part.tokens(), 5});
        sums.add_missing_output({lacks.data(), part.tokens(), 3});
    };
    const SampleShare share(test_world(), samples);
    const auto no_statistics = [&] { return StatisticsCollector(*backend, SliceConfig{}, true); };
    const auto no_shift = [&] { return InputShift(*backend); };
    auto statistics =
        share.add_up(no_statistics, [&](StatisticsCollector& sums, const SequenceRange& batch) {
            add_to_statistics(share.samples().part(batch), sums);
        });
    auto shift = share.add_up(no_shift, [&](InputShift& sums, const SequenceRange& batch) {
        add_to_shift(share.samples().part(batch), sums);
    });
    // The same over all samples in one go, but for the rounding of sums.
    StatisticsCollector all = no_statistics();
    InputShift all_shift = no_shift();
    for (const SequenceRange& batch : samples.ranges(tokens_per_batch)) {
        add_to_statistics(samples.part(batch), all);
        add_to_shift(samples.part(batch), all_shift);
    }
    using ::testing::DoubleNear;
    using ::testing::Pointwise;
    // Sums of 8400 tokens in fp32 are off by 1e-3 at most.
    EXPECT_THAT(numbers_of(statistics), Pointwise(DoubleNear(1e-3), numbers_of(all)));
    EXPECT_THAT(numbers_of(shift), Pointwise(DoubleNear(1e-3), numbers_of(all_shift)));
    EXPECT_GT(shift.width(), 0U);
}

}  // namespace
}  // namespace lathe
