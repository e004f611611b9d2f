#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/comm/communicator.hpp"
#include "lib/core/errors.hpp"

namespace lathe::comm {
namespace {

using ::testing::HasSubstr;

std::vector<std::byte> one_byte(int value) {
    return {static_cast<std::byte>(value)};
}

TEST(LocalCommunicator, IsOneRank) {
    const auto world = make_local_communicator();
    EXPECT_EQ(world->rank(), 0);
    EXPECT_EQ(world->size(), 1);
    EXPECT_EQ(world->local_rank(), 0);
    EXPECT_EQ(world->local_size(), 1);
}

TEST(LocalCommunicator, MessagesKeepTheirOrderWithinATag) {
    const auto world = make_local_communicator();
    world->send(0, Tag::task, one_byte(1));
    world->send(0, Tag::result, one_byte(9));
    world->send(0, Tag::task, one_byte(2));
    world->send(0, Tag::task, {});
    EXPECT_EQ(world->try_receive(-1, Tag::task).value().bytes, one_byte(1));
    EXPECT_EQ(world->try_receive(0, Tag::task).value().bytes, one_byte(2));
    EXPECT_TRUE(world->try_receive(0, Tag::task).value().bytes.empty());
    EXPECT_FALSE(world->try_receive(-1, Tag::task).has_value());
    EXPECT_EQ(world->try_receive(-1, Tag::result).value().bytes, one_byte(9));
}

TEST(LocalCommunicator, ReceiveWaitsForAnotherThread) {
    const auto world = make_local_communicator();
    std::thread sender([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        world->send(0, Tag::task, one_byte(7));
    });
    EXPECT_EQ(world->receive(-1, Tag::task).value().bytes, one_byte(7));
    sender.join();
}

TEST(LocalCommunicator, ReceiveEndsWhenToldTo) {
    const auto world = make_local_communicator();
    std::atomic<bool> stop = false;
    std::thread other([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        stop = true;
    });
    EXPECT_FALSE(world->receive(-1, Tag::task, &stop).has_value());
    other.join();
    // A message that is there comes first.
    world->send(0, Tag::task, one_byte(7));
    EXPECT_TRUE(world->receive(-1, Tag::task, &stop).has_value());
}

TEST(LocalCommunicator, OtherRanksAreRefused) {
    const auto world = make_local_communicator();
    try {
        world->send(1, Tag::task, {});
        FAIL();
    } catch (const InternalError& error) {
        EXPECT_THAT(error.what(), HasSubstr("rank 1"));
    }
    EXPECT_THROW(world->send(-1, Tag::task, {}), InternalError);
    EXPECT_THROW(static_cast<void>(world->try_receive(-2, Tag::task)), InternalError);
}

}  // namespace
}  // namespace lathe::comm
