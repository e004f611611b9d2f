#include "lib/comm/mpi_communicator.hpp"

#include <cstdlib>
#include <limits>
#include <string>
#include <utility>

#include <mpi.h>

#include "lib/comm/mpi_inbox.hpp"
#include "lib/comm/mpi_outbox.hpp"
#include "lib/comm/mpi_wire.hpp"
#include "lib/comm/rank_position.hpp"
#include "lib/core/errors.hpp"

namespace lathe::comm {
namespace {

/// Owns one MPI communicator. Errors come back as codes.
class Handle {
public:
    explicit Handle(MPI_Comm communicator) : communicator_(communicator) {
        check_mpi(MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN),
                  "MPI_Comm_set_errhandler");
    }
    ~Handle() { MPI_Comm_free(&communicator_); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    [[nodiscard]] MPI_Comm get() const noexcept { return communicator_; }
    [[nodiscard]] int rank() const {
        int rank = 0;
        check_mpi(MPI_Comm_rank(communicator_, &rank), "MPI_Comm_rank");
        return rank;
    }
    [[nodiscard]] int size() const {
        int size = 0;
        check_mpi(MPI_Comm_size(communicator_, &size), "MPI_Comm_size");
        return size;
    }

private:
    MPI_Comm communicator_;
};

MPI_Comm duplicate_of_world() {
    MPI_Comm duplicate = MPI_COMM_NULL;
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &duplicate), "MPI_Comm_dup");
    return duplicate;
}

MPI_Comm ranks_of_this_node(MPI_Comm world) {
    MPI_Comm node = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node),
              "MPI_Comm_split_type");
    return node;
}

std::vector<RankPlace> gather_places(MPI_Comm world, int size) {
    const RankPosition own = own_position();
    std::vector<RankPosition> all(static_cast<std::size_t>(size));
    const int bytes = static_cast<int>(sizeof own);
    check_mpi(MPI_Allgather(&own, bytes, MPI_BYTE, all.data(), bytes, MPI_BYTE, world),
              "MPI_Allgather");
    return shared_places(all);
}

std::size_t checked_piece_bytes(std::size_t max_piece_bytes) {
    if (max_piece_bytes == 0 || max_piece_bytes > std::numeric_limits<int>::max()) {
        throw InternalError("pieces of " + std::to_string(max_piece_bytes) +
                            " bytes: expected 1 to 2147483647");
    }
    return max_piece_bytes;
}

}  // namespace

void check_mpi(int code, const char* call) {
    if (code == MPI_SUCCESS) {
        return;
    }
    std::string text(MPI_MAX_ERROR_STRING, '\0');
    int length = 0;
    if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) {
        length = 0;
    }
    text.resize(static_cast<std::size_t>(length));
    throw InternalError(std::string(call) + " failed with code " + std::to_string(code) + ": " +
                        text);
}

void initialize_mpi(int* argc, char*** argv, int n_expected) {
    int provided = MPI_THREAD_SINGLE;
    check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN),
              "MPI_Comm_set_errhandler");
    int size = 0;
    check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
    std::string problem;
    if (provided < MPI_THREAD_MULTIPLE) {
        problem = "this MPI library gives thread support level " + std::to_string(provided) +
                  ", but " + std::to_string(MPI_THREAD_MULTIPLE) +
                  " (MPI_THREAD_MULTIPLE) is needed";
    } else if (size < n_expected) {
        problem = "the launcher started " + std::to_string(n_expected) + " tasks, but MPI sees " +
                  std::to_string(size) +
                  ": this MPI library does not understand the launcher. Use `srun --mpi=pmix` or "
                  "mpirun";
    }
    if (!problem.empty()) {
        MPI_Finalize();
        throw UsageError(problem);
    }
}

void finalize_mpi() {
    check_mpi(MPI_Finalize(), "MPI_Finalize");
}

void abort_mpi(int exit_code) {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);
}

struct MpiCommunicator::State {
    explicit State(std::size_t max_piece_bytes)
        : world(duplicate_of_world()),
          rank(world.rank()),
          size(world.size()),
          inbox(world.get(), rank),
          outbox(world.get(), max_piece_bytes) {
        const Handle node(ranks_of_this_node(world.get()));
        local_rank = node.rank();
        local_size = node.size();
        places = gather_places(world.get(), size);
    }

    void check_rank(int value, int lowest) const {
        if (value < lowest || value >= size) {
            throw InternalError("message to or from rank " + std::to_string(value) +
                                ", but there are " + std::to_string(size) + " ranks");
        }
    }

    Handle world;
    int rank = 0;
    int size = 0;
    int local_rank = 0;
    int local_size = 0;
    std::vector<RankPlace> places;
    MpiInbox inbox;
    MpiOutbox outbox;
};

MpiCommunicator::MpiCommunicator(std::size_t max_piece_bytes)
    : state_(std::make_unique<State>(checked_piece_bytes(max_piece_bytes))) {}

MpiCommunicator::~MpiCommunicator() = default;

int MpiCommunicator::rank() const noexcept {
    return state_->rank;
}
int MpiCommunicator::size() const noexcept {
    return state_->size;
}
int MpiCommunicator::local_size() const noexcept {
    return state_->local_size;
}
int MpiCommunicator::local_rank() const noexcept {
    return state_->local_rank;
}

const std::vector<RankPlace>& MpiCommunicator::places() const noexcept {
    return state_->places;
}

void MpiCommunicator::send(int to, Tag tag, std::vector<std::byte> bytes) {
    state_->check_rank(to, 0);
    if (to == state_->rank) {
        state_->inbox.deliver_to_self(tag, std::move(bytes));
    } else {
        state_->outbox.send(to, static_cast<int>(tag), std::move(bytes));
    }
}

std::optional<Message> MpiCommunicator::try_receive(int from, Tag tag) {
    state_->check_rank(from, -1);
    return state_->inbox.try_receive(from, tag);
}

bool MpiCommunicator::flush(double limit_seconds) {
    return state_->outbox.flush(limit_seconds);
}

}  // namespace lathe::comm
