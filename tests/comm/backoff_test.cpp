#include "lib/comm/backoff.hpp"

#include <gtest/gtest.h>

namespace lathe::comm {
namespace {

using std::chrono::microseconds;

TEST(Backoff, GrowsToItsLimitAndStartsAgain) {
    Backoff backoff;
    EXPECT_EQ(backoff.next(), microseconds(50));
    EXPECT_EQ(backoff.next(), microseconds(62));  // a quarter more, in whole microseconds
    for (int i = 0; i < 100; ++i) {
        backoff.next();
    }
    EXPECT_EQ(backoff.next(), microseconds(2000));
    backoff.reset();
    EXPECT_EQ(backoff.next(), microseconds(50));
}

}  // namespace
}  // namespace lathe::comm
