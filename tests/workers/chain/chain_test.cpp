// The order in which a chain reaches blocks, and what it does after a failure.

#include "workers/chain/chain.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "tests/workers/job/job_fixture.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct SomeTask {
    std::size_t block = 0;
    std::string name = "a";
};

/// Writes down what it is asked to do.
class RecordingChain final : public Chain<SomeTask> {
public:
    RecordingChain(const JobContext& context, const SomeTask& first)
        : Chain(context, {}), name_(first.name) {}

    std::vector<std::string> done;
    bool fails = false;

    using ChainBase::make_stream;
    using ChainBase::require_finite;
    using ChainBase::samples;

private:
    void repeat_block(const SomeTask& /*task*/) override { done.push_back("repeat " + place()); }
    void work_on_block(const SomeTask& /*task*/) override {
        if (fails) {
            throw DataError("not finite");
        }
        done.push_back("work " + place());
    }
    [[nodiscard]] bool is_of_this_chain(const SomeTask& task) const override {
        return task.name == name_;
    }

    std::string name_;
};

class ChainTest : public ::testing::Test {
protected:
    ChainTest() : job("llama") { job.prepare(); }
    SmallJob job;
};

TEST_F(ChainTest, PassesFinishedBlocksAndEndsBehindTheLast) {
    ASSERT_EQ(job.context().spec().n_blocks, 2U);
    RecordingChain chain(job.context(), {});
    chain.run({1});
    EXPECT_THAT(chain.done, ElementsAre("repeat block_0000", "work block_0001"));
    EXPECT_FALSE(chain.has_ended());
    chain.run({2});
    EXPECT_EQ(chain.done.back(), "work head");
    EXPECT_TRUE(chain.has_ended());
}

TEST_F(ChainTest, LeadsOnlyForwardsAndOnlyWithinItself) {
    RecordingChain chain(job.context(), {});
    chain.run({0});
    EXPECT_FALSE(chain.leads_to({0}));
    EXPECT_TRUE(chain.leads_to({1}));
    EXPECT_TRUE(chain.leads_to({2}));
    EXPECT_FALSE(chain.leads_to({1, "b"}));
}

TEST_F(ChainTest, AfterAFailureAnotherHasToBegin) {
    RecordingChain chain(job.context(), {});
    chain.fails = true;
    EXPECT_THROW(chain.run({0}), DataError);
    // Some batches of its streams may have moved.
    EXPECT_FALSE(chain.leads_to({0}));
    EXPECT_FALSE(chain.leads_to({1}));
}

TEST_F(ChainTest, AStreamThatIsNotFiniteNamesThePlace) {
    RecordingChain chain(job.context(), {});
    chain.run({0});
    ForwardPass forward(job.context().spec(), job.context().backend(),
                        chain.samples().max_length());
    const ResidualStream stream = chain.make_stream(forward);
    const MatrixView<float> all = stream.part(chain.samples().whole());
    std::fill_n(all.data, all.rows * all.cols, 0.0F);
    EXPECT_NO_THROW(chain.require_finite(stream, "of the compressed model"));
    all.data[all.rows * all.cols - 1] = std::numeric_limits<float>::infinity();
    EXPECT_THAT([&] { chain.require_finite(stream, "of the compressed model"); },
                ThrowsMessage<DataError>(HasSubstr(
                    "the activations after block_0001 of the compressed model are not finite")));
}

}  // namespace
}  // namespace lathe
