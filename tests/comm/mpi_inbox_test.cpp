// Envelopes that no sender of ours writes, straight through MPI. Every rank sends to itself.
#include "lib/comm/mpi_inbox.hpp"

#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/comm/mpi_wire.hpp"
#include "lib/core/errors.hpp"
#include "tests/support/mpi_main.hpp"

namespace lathe::comm {
namespace {

using ::testing::HasSubstr;

class MpiInboxTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (test_world().size() < 2) {
            GTEST_SKIP() << "needs MPI";
        }
        // Its own: the rank's other inbox listens on the world.
        ASSERT_EQ(MPI_Comm_dup(MPI_COMM_WORLD, &communicator_), MPI_SUCCESS);
        inbox_.emplace(communicator_, /*rank=*/-2);
    }
    void TearDown() override {
        inbox_.reset();
        if (communicator_ != MPI_COMM_NULL) {
            MPI_Comm_free(&communicator_);
        }
    }

    void send(const Envelope& envelope, std::string_view content = {}) {
        std::vector<char> bytes(sizeof envelope);
        std::memcpy(bytes.data(), &envelope, sizeof envelope);
        bytes.insert(bytes.end(), content.begin(), content.end());
        ASSERT_EQ(MPI_Send(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE,
                           test_world().rank(), static_cast<int>(Tag::activation), communicator_),
                  MPI_SUCCESS);
    }
    std::string refusal() {
        for (int attempt = 0; attempt < 1000; ++attempt) {
            try {
                const auto message = inbox_->try_receive(-1, Tag::activation);
                if (message) {
                    return "a message of " + std::to_string(message->bytes.size()) + " bytes";
                }
            } catch (const InternalError& error) {
                return error.what();
            }
        }
        return "nothing";
    }

    MPI_Comm communicator_ = MPI_COMM_NULL;
    std::optional<MpiInbox> inbox_;
};

TEST_F(MpiInboxTest, AMessageThatFindsNoMemoryIsAnError) {
    // More than a vector may hold, so that an address sanitizer has no say in it.
    send({std::numeric_limits<std::uint64_t>::max(), 1 << 20, first_piece_tag});
    EXPECT_THAT(refusal(), HasSubstr("no memory for a message of 18446744073709551615 bytes"));
    // It is gone, and what comes after it is itself.
    send({3, 0, 0}, "abc");
    EXPECT_EQ(refusal(), "a message of 3 bytes");
    EXPECT_EQ(refusal(), "nothing");
}

TEST_F(MpiInboxTest, PiecesOfNoLengthAreAnError) {
    send({100, 0, first_piece_tag});
    EXPECT_THAT(refusal(), HasSubstr("in pieces of 0 bytes"));
    EXPECT_EQ(refusal(), "nothing");
}

}  // namespace
}  // namespace lathe::comm
