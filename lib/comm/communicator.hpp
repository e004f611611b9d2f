#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace lathe::comm {

/// All message tags of the program.
enum class Tag : int {
    task = 1,        ///< coordinator to worker
    result = 2,      ///< worker to coordinator: results and heartbeats
    activation = 3,  ///< worker to worker, along the pipeline of blocks
    share = 4  ///< worker to worker, in a task for all ranks: sums over a share of the samples
};

struct Message {
    int source = 0;
    std::vector<std::byte> bytes;
};

/// Where a rank runs.
struct RankPlace {
    std::string host;
    int processors = 0;  ///< cores that it may use, by its affinity mask; hyperthreads count once
    /// Ranks of this host, this one among them, whose masks overlap with its own: those that it
    /// shares the processors with. 1 where the launcher gave each rank processors of its own.
    int sharing = 1;
    int memory_nodes = 1;  ///< NUMA nodes that these processors belong to
};

/// Point-to-point messages between the ranks of a job, and nothing collective: a rank that is gone
/// must not hang the others. Messages from one rank to another with one tag arrive in order.
/// Every function may be called from any thread. Waiting sleeps between polls; it does not spin.
class Communicator {
public:
    virtual ~Communicator() = default;
    [[nodiscard]] virtual int rank() const noexcept = 0;
    [[nodiscard]] virtual int size() const noexcept = 0;
    /// Ranks on this rank's node, and this rank's place among them: for threads and devices.
    [[nodiscard]] virtual int local_size() const noexcept = 0;
    [[nodiscard]] virtual int local_rank() const noexcept = 0;
    /// For each rank; the same on all of them.
    [[nodiscard]] virtual const std::vector<RankPlace>& places() const noexcept = 0;

    /// Sends without waiting for the receiver; the bytes are kept until they are gone. `to` may be
    /// this rank itself. Any length; beyond 2^31 - 1 bytes it is cut up inside.
    /// @throws InternalError  naming the MPI call, with MPI's own text
    virtual void send(int to, Tag tag, std::vector<std::byte> bytes) = 0;
    /// The next message with this tag from `from` (-1: any rank), if a whole one is there. Never
    /// blocks, also when a sender dies halfway through a long message.
    virtual std::optional<Message> try_receive(int from, Tag tag) = 0;
    /// Waits for it. Returns none if `stop` (may be null) becomes true first.
    std::optional<Message> receive(int from, Tag tag, const std::atomic<bool>* stop = nullptr);
};

/// One process: rank 0 of 1, messages to itself by a queue.
std::unique_ptr<Communicator> make_local_communicator();

/// Starts and ends MPI, if the process was started by a launcher (mpirun, srun with PMIx); else
/// there is one local rank and MPI is never touched.
class Session {
public:
    /// @throws UsageError  under srun with several tasks but no PMIx support: every task would
    ///   believe it is alone
    Session(int* argc, char*** argv);
    /// Finalizes MPI, unless an exception is unwinding or abandon() was called: then the process
    /// must end with _exit, since other ranks would hang in MPI_Finalize.
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    [[nodiscard]] Communicator& world() { return *world_; }
    /// Ends the whole job at once, with this exit code. Does not return under MPI.
    void abort(int exit_code);
    /// Gives MPI up because a rank is lost: waits a moment for messages already sent to leave;
    /// from then on MPI_Finalize is not called, and the process must end with _exit.
    void abandon();

private:
    bool uses_mpi_ = false;
    bool abandoned_ = false;
    int exceptions_at_start_ = 0;
    std::unique_ptr<Communicator> world_;
};

}  // namespace lathe::comm
