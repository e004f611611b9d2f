// Entry point of tests that run on several ranks. Every rank runs every test; a test has failed if
// it failed on any rank. Rank 0 prints the usual report, the others only their failures.

#include "tests/support/mpi_main.hpp"

#include <cstdio>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// MPI unloads its plug-ins at the end; kept mapped, the suppressions can still name them.
extern "C" __attribute__((visibility("default"))) int dlclose(void*) noexcept {
    return 0;
}
#endif

namespace lathe {
namespace {

std::unique_ptr<comm::Session>& session() {
    static std::unique_ptr<comm::Session> instance;
    return instance;
}

/// The largest value of all ranks. A collective call: every rank comes here after every test, and
/// ctest's time limit ends a run in which one does not.
int largest(int value) {
    int initialized = 0;
    MPI_Initialized(&initialized);
    if (initialized == 0) {
        return value;
    }
    int result = value;
    MPI_Allreduce(&value, &result, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return result;
}

class MpiListener final : public testing::EmptyTestEventListener {
public:
    MpiListener(testing::TestEventListener* printer, int rank) : printer_(printer), rank_(rank) {}

    void OnTestProgramStart(const testing::UnitTest& test) override {
        if (rank_ == 0) {
            printer_->OnTestProgramStart(test);
        }
    }
    void OnTestIterationStart(const testing::UnitTest& test, int iteration) override {
        if (rank_ == 0) {
            printer_->OnTestIterationStart(test, iteration);
        }
    }
    void OnTestSuiteStart(const testing::TestSuite& suite) override {
        if (rank_ == 0) {
            printer_->OnTestSuiteStart(suite);
        }
    }
    void OnTestStart(const testing::TestInfo& test) override {
        if (rank_ == 0) {
            printer_->OnTestStart(test);
        }
    }
    void OnTestPartResult(const testing::TestPartResult& part) override {
        if (part.passed() || (part.skipped() && rank_ != 0)) {
            return;
        }
        const char* file = part.file_name() != nullptr ? part.file_name() : "?";
        std::fprintf(stderr, "[rank %d] %s:%d: %s\n", rank_, file, part.line_number(),
                     part.message());
    }
    void OnTestEnd(const testing::TestInfo& test) override {
        const bool failed_here = test.result()->Failed();
        if (largest(failed_here ? 1 : 0) != 0 && !failed_here) {
            ADD_FAILURE() << "failed on another rank";
        }
        if (rank_ == 0) {
            printer_->OnTestEnd(test);
        }
    }
    void OnTestSuiteEnd(const testing::TestSuite& suite) override {
        if (rank_ == 0) {
            printer_->OnTestSuiteEnd(suite);
        }
    }
    void OnTestIterationEnd(const testing::UnitTest& test, int iteration) override {
        if (rank_ == 0) {
            printer_->OnTestIterationEnd(test, iteration);
        }
    }
    void OnTestProgramEnd(const testing::UnitTest& test) override {
        if (rank_ == 0) {
            printer_->OnTestProgramEnd(test);
        }
    }

private:
    std::unique_ptr<testing::TestEventListener> printer_;
    int rank_;
};

}  // namespace

comm::Communicator& test_world() {
    return session()->world();
}

}  // namespace lathe

int main(int argc, char** argv) {
    lathe::session() = std::make_unique<lathe::comm::Session>(&argc, &argv);
    testing::InitGoogleMock(&argc, argv);
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    listeners.Append(new lathe::MpiListener(listeners.Release(listeners.default_result_printer()),
                                            lathe::test_world().rank()));
    const int exit_code = lathe::largest(RUN_ALL_TESTS());
    lathe::session().reset();
    return exit_code;
}
