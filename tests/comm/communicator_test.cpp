// Messages between the ranks that mpirun started; the same tests on one rank, where all messages
// are to itself. Every rank runs every test.

#include "lib/comm/communicator.hpp"

#include <cstring>
#include <ctime>
#include <map>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/comm/mpi_communicator.hpp"
#include "lib/core/errors.hpp"
#include "tests/support/mpi_main.hpp"

namespace lathe::comm {
namespace {

using ::testing::HasSubstr;
using Bytes = std::vector<std::byte>;

/// `size` bytes that depend on `seed` and on the place.
Bytes pattern(std::size_t size, std::size_t seed) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::byte>(i * 131 + i / 251 + seed * 17);
    }
    return bytes;
}

Bytes number(int value) {
    Bytes bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

int number(const Message& message) {
    int value = -1;
    EXPECT_EQ(message.bytes.size(), sizeof value);
    std::memcpy(&value, message.bytes.data(), std::min(sizeof value, message.bytes.size()));
    return value;
}

/// Messages of up to 2 KiB travel in one piece, longer ones in several. So every test runs with
/// pieces of three bytes too, where nearly every message is long.
class CommunicatorTest : public ::testing::TestWithParam<std::size_t> {
protected:
    void SetUp() override {
        if (test_world().size() > 1) {
            own_ = std::make_unique<MpiCommunicator>(GetParam());
        } else {
            own_ = make_local_communicator();
        }
        next_ = (rank() + 1) % size();
        previous_ = (rank() + size() - 1) % size();
    }
    [[nodiscard]] int rank() const { return own_->rank(); }
    [[nodiscard]] int size() const { return own_->size(); }

    std::unique_ptr<Communicator> own_;
    int next_ = 0;
    int previous_ = 0;
};

TEST_P(CommunicatorTest, RanksOfOneNode) {
    // All ranks of this test are on one machine.
    EXPECT_EQ(own_->size(), test_world().size());
    EXPECT_EQ(own_->rank(), test_world().rank());
    EXPECT_EQ(own_->local_size(), own_->size());
    EXPECT_EQ(own_->local_rank(), own_->rank());
    ASSERT_EQ(own_->places().size(), static_cast<std::size_t>(own_->size()));
    for (const RankPlace& place : own_->places()) {
        EXPECT_EQ(place.host, own_->places()[0].host);
        EXPECT_GE(place.processors, 1);
        EXPECT_GE(place.sharing, 1);
        EXPECT_LE(place.sharing, own_->size());
    }
}

TEST_P(CommunicatorTest, LengthsAroundThePieces) {
    const std::vector<std::size_t> sizes = {0, 1, 2, 3, 4, 5, 6, 7, 2047, 2048, 2049, 5000};
    for (const std::size_t size : sizes) {
        own_->send(next_, Tag::activation, pattern(size, size));
    }
    for (const std::size_t size : sizes) {
        const Message message = own_->receive(previous_, Tag::activation).value();
        EXPECT_EQ(message.source, previous_);
        EXPECT_EQ(message.bytes, pattern(size, size)) << size;
    }
    EXPECT_FALSE(own_->try_receive(-1, Tag::activation).has_value());
}

TEST_P(CommunicatorTest, AShortMessageDoesNotOvertakeALongOne) {
    own_->send(next_, Tag::activation, pattern(9001, 1));
    own_->send(next_, Tag::activation, {});
    own_->send(next_, Tag::task, number(5));  // other tags go their own way
    EXPECT_EQ(number(own_->receive(previous_, Tag::task).value()), 5);
    EXPECT_EQ(own_->receive(-1, Tag::activation).value().bytes, pattern(9001, 1));
    EXPECT_TRUE(own_->receive(-1, Tag::activation).value().bytes.empty());
}

TEST_P(CommunicatorTest, FromAnyRankEachInItsOrder) {
    constexpr int n_messages = 50;
    for (int i = 0; i < n_messages; ++i) {
        for (int to = 0; to < size(); ++to) {
            own_->send(to, Tag::result, number(i));
        }
    }
    std::map<int, int> expected;
    for (int i = 0; i < n_messages * size(); ++i) {
        const Message message = own_->receive(-1, Tag::result).value();
        EXPECT_EQ(number(message), expected[message.source]++) << "from " << message.source;
    }
    EXPECT_EQ(expected.size(), static_cast<std::size_t>(size()));
}

TEST_P(CommunicatorTest, FromOneRankWhileOthersWait) {
    for (int to = 0; to < size(); ++to) {
        own_->send(to, Tag::result, number(100 + rank()));
    }
    for (int from = size() - 1; from >= 0; --from) {
        EXPECT_EQ(number(own_->receive(from, Tag::result).value()), 100 + from);
    }
}

TEST_P(CommunicatorTest, ManyMessagesBothWaysAtOnce) {
    constexpr int n_messages = 1000;
    std::thread sender([&] {
        for (int i = 0; i < n_messages; ++i) {
            own_->send(next_, Tag::task, number(i));
        }
    });
    for (int i = 0; i < n_messages; ++i) {
        ASSERT_EQ(number(own_->receive(previous_, Tag::task).value()), i);
    }
    sender.join();
}

TEST_P(CommunicatorTest, TwoThreadsSendAndTwoReceiveLongMessages) {
    constexpr int n_messages = 6;
    const auto size_of = [](int i) { return static_cast<std::size_t>(3000 + 37 * i); };
    const auto send_all = [&](int first) {
        for (int i = first; i < n_messages; i += 2) {
            own_->send(next_, Tag::activation, pattern(size_of(i), static_cast<std::size_t>(i)));
        }
    };
    std::vector<int> received[2];
    const auto receive_half = [&](int thread) {
        for (int i = 0; i < n_messages / 2; ++i) {
            const Message message = own_->receive(previous_, Tag::activation).value();
            const int index = static_cast<int>((message.bytes.size() - 3000) / 37);
            if (message.bytes == pattern(size_of(index), static_cast<std::size_t>(index))) {
                received[thread].push_back(index);
            }
        }
    };
    std::thread threads[] = {std::thread(send_all, 0), std::thread(send_all, 1),
                             std::thread(receive_half, 0), std::thread(receive_half, 1)};
    for (std::thread& thread : threads) {
        thread.join();
    }

    std::vector<int> all = received[0];
    all.insert(all.end(), received[1].begin(), received[1].end());
    std::ranges::sort(all);
    ASSERT_EQ(all.size(), static_cast<std::size_t>(n_messages));
    for (int i = 0; i < n_messages; ++i) {
        EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
    }
}

TEST_P(CommunicatorTest, TwoThreadsOfARankEachWithATagOfTheirOwn) {
    const auto echo = [&](Tag tag, int offset) {
        for (int i = 0; i < 100; ++i) {
            own_->send(next_, tag, number(offset + i));
            EXPECT_EQ(number(own_->receive(previous_, tag).value()), offset + i);
        }
    };
    std::thread other(echo, Tag::task, 0);
    echo(Tag::result, 1000);
    other.join();
}

TEST_P(CommunicatorTest, RanksThatDoNotExistAreRefused) {
    try {
        own_->send(size(), Tag::task, {});
        FAIL();
    } catch (const InternalError& error) {
        EXPECT_THAT(error.what(), HasSubstr("rank " + std::to_string(size())));
    }
    EXPECT_THROW(own_->send(-1, Tag::task, {}), InternalError);
    EXPECT_THROW(static_cast<void>(own_->try_receive(-2, Tag::task)), InternalError);
}

INSTANTIATE_TEST_SUITE_P(PieceBytes, CommunicatorTest,
                         ::testing::Values(3, 1000, MpiCommunicator::default_piece_bytes));

TEST(MpiCommunicator, PiecesOfNoLengthAreRefused) {
    EXPECT_THROW(MpiCommunicator(0), InternalError);
    EXPECT_THROW(MpiCommunicator(std::size_t{1} << 31), InternalError);
}

TEST(MpiCommunicator, LongMessagesMoveWhileTheSenderDoesNotCall) {
    Communicator& world = test_world();
    if (world.size() < 2) {
        GTEST_SKIP() << "needs two ranks";
    }
    constexpr std::size_t size_bytes = 8 << 20;
    if (world.rank() == 0) {
        world.send(1, Tag::activation, pattern(size_bytes, 3));
        // No call here until the other has it all: it answers under another tag.
        EXPECT_EQ(number(world.receive(1, Tag::result).value()), 1);
    } else if (world.rank() == 1) {
        EXPECT_EQ(world.receive(0, Tag::activation).value().bytes, pattern(size_bytes, 3));
        world.send(0, Tag::result, number(1));
    }
}

TEST(Communicator, WaitingCostsLittleProcessorTime) {
    Communicator& world = test_world();
    std::atomic<bool> stop = false;
    timespec before{};
    timespec after{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    std::thread waiting([&] { EXPECT_FALSE(world.receive(-1, Tag::activation, &stop)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    stop = true;
    waiting.join();
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    const double seconds = static_cast<double>(after.tv_sec - before.tv_sec) +
                           1e-9 * static_cast<double>(after.tv_nsec - before.tv_nsec);
    // Spinning would cost the whole half second; sleeping was seen to cost about 0.01.
    EXPECT_LT(seconds, 0.2);
}

}  // namespace
}  // namespace lathe::comm
