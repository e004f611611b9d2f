#include "lib/core/parallel.hpp"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(ThreadPool, RunsEachTileOnce) {
    for (std::size_t n_threads : {1, 2, 5}) {
        ThreadPool pool(n_threads);
        EXPECT_EQ(pool.n_threads(), n_threads);
        for (std::size_t n_tiles : {0, 1, 2, 3, 1000}) {
            std::vector<std::atomic<int>> calls(n_tiles);
            pool.for_each(n_tiles, [&](std::size_t i) { ++calls[i]; });
            for (const auto& count : calls) {
                EXPECT_EQ(count, 1);
            }
        }
    }
}

TEST(ThreadPool, RunsACallFromInsideATile) {
    ThreadPool pool(3);
    std::atomic<int> count{0};
    pool.for_each(4, [&](std::size_t) { pool.for_each(5, [&](std::size_t) { ++count; }); });
    EXPECT_EQ(count, 20);
}

TEST(ThreadPool, ThrowsTheErrorOfTheLowestTileAndGoesOnWorking) {
    ThreadPool pool(4);
    for (int round = 0; round < 50; ++round) {
        try {
            pool.for_each(20, [](std::size_t i) {
                if (i % 7 == 3) {
                    throw std::runtime_error(std::to_string(i));
                }
            });
            FAIL() << "tiles 3, 10 and 17 throw";
        } catch (const std::runtime_error& e) {
            EXPECT_STREQ(e.what(), "3");
        }
    }
}

TEST(ThreadPool, ServesSeveralCallers) {
    ThreadPool pool(2);
    std::atomic<int> count{0};
    {
        ThreadPool callers(3);
        callers.for_each(3, [&](std::size_t) {});
    }
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] { pool.for_each(100, [&](std::size_t) { ++count; }); });
    }
    threads.clear();
    EXPECT_EQ(count, 400);
}

}  // namespace
}  // namespace lathe
