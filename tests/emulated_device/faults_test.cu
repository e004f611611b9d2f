#include <functional>
#include <string>
#include <vector>

#include <cuda_pipeline.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/device_only.cuh"
#include "kernels/cuda/launch.cuh"

// Kernels with one fault each: the emulated device must find it, under every schedule, and must not
// find one in a kernel without.

namespace lathe::kernels::cuda {
namespace {

using ::testing::HasSubstr;

class EmulatedDevice : public ::testing::Test {
protected:
    Context context{0};
    Call call{context};
    float* memory = call.scratch<float>(64);

    void SetUp() override { call.zero(memory, 64 * sizeof(float)); }

    /// What is said when all that is on the stream is done; empty if nothing is.
    std::string said() {
        try {
            context.synchronize();
            return {};
        } catch (const std::exception& error) {
            return error.what();
        }
    }
    template <class F>
    std::string of_warp(const F& f) {
        for_each_warp(call, 1, [=] __device__(std::size_t, unsigned lane) { f(lane); });
        return said();
    }
    template <class F>
    std::string of_block(const F& f) {
        for_each_block(call, 1, [=] __device__(std::size_t, unsigned thread) { f(thread); });
        return said();
    }
};

TEST_F(EmulatedDevice, FindsNothingWhereNothingIsWrong) {
    float* const m = memory;
    EXPECT_EQ(of_warp([=] __device__(unsigned lane) {
                  m[lane] = 1.0F;
                  __syncwarp();
                  m[32 + lane] = warp_sum(m[31 - lane]);
              }),
              "");
    EXPECT_EQ(of_block([=] __device__(unsigned thread) {
                  const float sum = block_sum(static_cast<float>(thread));
                  if (thread == 0) {
                      m[0] = sum;
                  }
              }),
              "");
    EXPECT_EQ(call.to_host(memory, 1).front(), 255.0F * 128.0F);
    EXPECT_EQ(call.to_host(memory + 32, 1).front(), 32.0F);
}

TEST_F(EmulatedDevice, FindsAnAddressOfTheHost) {
    std::vector<float> host(32);
    float* const h = host.data();
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) { h[lane] = 1.0F; }),
                HasSubstr("not the device's memory"));
    float* const m = memory;
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) { m[lane] = h[lane]; }),
                HasSubstr("not the device's memory"));
}

TEST_F(EmulatedDevice, FindsWhatIsBehindAnAllocation) {
    const float* const m = memory;
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) { (void)warp_sum(m[33 + lane]); }),
                HasSubstr("reads 4 bytes"));
    float* const odd = call.scratch<float>(3);
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) { odd[lane] = 0.0F; }),
                HasSubstr("not allocated"));
}

TEST_F(EmulatedDevice, FindsWhatWasFreed) {
    auto* const freed = static_cast<float*>(context.allocate(128));
    context.free(freed);
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) { freed[lane] = 0.0F; }),
                HasSubstr("not allocated"));
}

TEST_F(EmulatedDevice, FindsMemoryThatNothingWasWrittenTo) {
    float* const m = memory;
    const float* const fresh = call.scratch<float>(32);
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) { m[lane] = fresh[lane]; }),
                HasSubstr("nothing was written to"));
    EXPECT_THAT(of_block([=] __device__(unsigned thread) {
                    const float* const shared = dynamic_shared<float>();
                    m[thread % 64] = shared[thread];
                }),
                HasSubstr("behind the shared memory"));
    EXPECT_THAT(of_block([=] __device__(unsigned thread) {
                    __shared__ float shared[block_threads];
                    if (thread != 5) {
                        shared[thread] = 0.0F;
                    }
                    __syncthreads();
                    if (thread == 0) {
                        *m = shared[5];
                    }
                }),
                HasSubstr("the block has not written to"));
}

TEST_F(EmulatedDevice, FindsAMissingBarrierOfABlock) {
    float* const m = memory;
    EXPECT_THAT(of_block([=] __device__(unsigned thread) {
                    __shared__ float shared[block_threads];
                    shared[thread] = 1.0F;
                    __syncwarp();
                    if (thread < 64) {
                        m[thread] = shared[thread + 64];
                    }
                }),
                ::testing::AnyOf(HasSubstr("no barrier between"),
                                 HasSubstr("the block has not written to")));
}

TEST_F(EmulatedDevice, FindsAMissingBarrierOfAWarp) {
    float* const m = memory;
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) {
                    m[lane] = static_cast<float>(lane);
                    m[32 + lane] = m[lane ^ 1U];
                }),
                HasSubstr("no barrier between"));
}

TEST_F(EmulatedDevice, FindsBlocksThatMeetInAByte) {
    float* const m = memory;
    for_each_block(call, 2, [=] __device__(std::size_t block, unsigned thread) {
        if (thread == 0) {
            m[0] = static_cast<float>(block + 1);
        }
    });
    EXPECT_THAT(said(), HasSubstr("no barrier between"));
    for_each_block(call, 2, [=] __device__(std::size_t, unsigned thread) {
        if (thread == 0) {
            m[0] = 3.0F;  // whoever writes writes the same
        }
    });
    EXPECT_EQ(said(), "");
}

TEST_F(EmulatedDevice, FindsAtomicOperationsBesideOthers) {
    const auto largest = [=] __device__(unsigned thread, bool waits) {
        __shared__ unsigned shared;
        if (thread == 0) {
            shared = 0;
        }
        if (waits) {
            __syncthreads();
        }
        atomicMax(&shared, thread);
        __syncthreads();
        return shared;
    };
    auto* const found = reinterpret_cast<unsigned*>(memory);
    EXPECT_EQ(of_block([=] __device__(unsigned thread) { *found = largest(thread, true); }), "");
    EXPECT_EQ(call.to_host(found, 1).front(), block_threads - 1);
    EXPECT_THAT(of_block([=] __device__(unsigned thread) { (void)largest(thread, false); }),
                ::testing::AnyOf(HasSubstr("no barrier between"),
                                 HasSubstr("the block has not written to")));
}

TEST_F(EmulatedDevice, FindsBarriersThatNotAllReach) {
    EXPECT_THAT(of_block([=] __device__(unsigned thread) {
                    if (thread != 3) {
                        __syncthreads();
                    }
                }),
                HasSubstr("255 threads wait for the block, 0 for their warp, and 1 have ended"));
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) {
                    if (lane == 3) {
                        __syncwarp();
                    } else {
                        (void)warp_sum(1.0F);
                    }
                }),
                HasSubstr("wait for different things"));
}

TEST_F(EmulatedDevice, FindsACopyThatWasNotWaitedFor) {
    float* const m = memory;
    const auto copy = [=] __device__(unsigned lane, unsigned n_left) {
        __shared__ __align__(16) float shared[warp_size];
        __pipeline_memcpy_async(&shared[lane], &m[lane], sizeof(float));
        __pipeline_commit();
        __pipeline_wait_prior(n_left);
        m[32 + lane] = shared[lane];
    };
    EXPECT_EQ(of_warp([=] __device__(unsigned lane) {
                  if (lane < warp_size) {
                      copy(lane, 0);
                  }
              }),
              "");
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) { copy(lane, 1); }),
                HasSubstr("a copy is on its way"));
}

TEST_F(EmulatedDevice, FindsAnAddressThatIsNotAMultipleOfTheSize) {
    float* const m = memory;
    EXPECT_THAT(of_warp([=] __device__(unsigned lane) {
                    if (lane == 0) {
                        *reinterpret_cast<uint4*>(m + 4) = *reinterpret_cast<const uint4*>(m + 1);
                    }
                }),
                HasSubstr("not a multiple of its size"));
}

TEST_F(EmulatedDevice, FindsLaunchesThatADeviceRefuses) {
    const auto launched = [&](dim3 grid, unsigned threads, std::size_t bytes) {
        try {
            launch(
                call, blocks_kernel<void (*)(std::size_t, unsigned)>, grid, threads, bytes,
                +[](std::size_t, unsigned) {});
            return said();
        } catch (const std::exception& error) {
            return std::string(error.what());
        }
    };
    EXPECT_EQ(launched(1, 1024, 48 * 1024), "");
    EXPECT_THAT(launched(1, 1025, 0), HasSubstr("invalid configuration"));
    EXPECT_THAT(launched(1, 32, 48 * 1024 + 1), HasSubstr("invalid configuration"));
    EXPECT_THAT(launched(0, 32, 0), HasSubstr("invalid configuration"));
    EXPECT_THAT(launched(dim3(1, 65536), 32, 0), HasSubstr("invalid configuration"));
}

TEST_F(EmulatedDevice, FindsWhatTheLibrariesAreGivenWrongly) {
    const View<float> x{memory, 2, 2, 2};
    const View<float> fresh{call.scratch<float>(4), 2, 2, 2};
    multiply(context, x, fresh, x);
    EXPECT_THAT(said(), HasSubstr("cublasSgemm() reads memory that nothing was written to"));
    multiply(context, x, x, View<float>{memory + 63, 2, 2, 2});
    EXPECT_THAT(said(), HasSubstr("cublasSgemm() reaches memory that is not allocated"));
    float host[4] = {};
    multiply(context, x, x, View<float>{host, 2, 2, 2});
    EXPECT_THAT(said(), HasSubstr("not the device's"));
}

TEST_F(EmulatedDevice, KeepsTheHostAway) {
    context.synchronize();
    const volatile float* const m = memory;
    EXPECT_DEATH((void)*m, "");
}

}  // namespace
}  // namespace lathe::kernels::cuda
