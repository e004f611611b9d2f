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
    [[nodiscard]] std::vector<double> values() const { return {sum}; }
    void add_values(std::span<const double> values) { sum += static_cast<float>(values.front()); }
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
        struct Ids {
            std::vector<double> ids{-1.0};
            [[nodiscard]] std::vector<double> values() const { return ids; }
            void add_values(std::span<const double> more) {
                ids.insert(ids.end(), more.begin() + 1, more.end());
            }
        };
        const Ids found =
            share.add_up([] { return Ids{}; },
                         [&](Ids& sums, const SequenceRange& batch) {
                             const TokenSequences part = share.samples().part(batch);
                             sums.ids.insert(sums.ids.end(), part.ids.begin(), part.ids.end());
                             EXPECT_LE(batch.tokens, share.most_tokens());
                         });
        std::vector<double> expected(1 + samples.tokens());
        std::iota(expected.begin(), expected.end(), -1.0);
        EXPECT_EQ(found.ids, expected) << n;
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
    const auto statistics =
        share.add_up(no_statistics, [&](StatisticsCollector& sums, const SequenceRange& batch) {
            add_to_statistics(share.samples().part(batch), sums);
        });
    const auto shift = share.add_up(no_shift, [&](InputShift& sums, const SequenceRange& batch) {
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
    EXPECT_THAT(statistics.values(), Pointwise(DoubleNear(1e-6), all.values()));
    EXPECT_THAT(shift.values(), Pointwise(DoubleNear(1e-6), all_shift.values()));
    EXPECT_GT(shift.width(), 0U);
}

}  // namespace
}  // namespace lathe
