#include <cstdlib>
#include <exception>
#include <string>
#include <utility>

#include "lib/comm/communicator.hpp"
#include "lib/comm/mpi_communicator.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"

namespace lathe::comm {
namespace {

/// Messages that nobody receives must not keep a process from ending.
constexpr double flush_seconds = 10.0;
constexpr double abandon_flush_seconds = 2.0;

bool is_set(const char* name) {
    return std::getenv(name) != nullptr;
}

int number_in(const char* name) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::atoi(text) : 0;
}

/// Whether something that speaks an MPI start-up protocol started this process: mpirun of OpenMPI,
/// anything with PMIx, anything with PMI (MPICH, Intel MPI).
bool is_started_by_launcher() {
    return is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK") ||
           is_set("MV2_COMM_WORLD_SIZE");
}

/// How many tasks the launcher started, 0 if it does not say. mpirun starts its daemons by srun,
/// and then SLURM_STEP_NUM_TASKS counts the daemons: mpirun's own word goes first.
int tasks_started() {
    for (const char* name :
         {"OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMI_SIZE"}) {
        if (is_set(name)) {
            return number_in(name);
        }
    }
    return 0;
}

}  // namespace

Session::Session(int* argc, char*** argv)
    : uses_mpi_(is_started_by_launcher()), exceptions_at_start_(std::uncaught_exceptions()) {
    if (uses_mpi_) {
        initialize_mpi(argc, argv, tasks_started());
        world_ = std::make_unique<MpiCommunicator>();
        return;
    }
    // Only srun sets this one; a batch script that calls the program directly does not see it.
    if (number_in("SLURM_STEP_NUM_TASKS") > 1) {
        throw UsageError("srun started " + std::to_string(number_in("SLURM_STEP_NUM_TASKS")) +
                         " tasks without PMIx, so each of them would believe it is alone. Use "
                         "`srun --mpi=pmix` or mpirun");
    }
    world_ = make_local_communicator();
}

Session::~Session() {
    if (!uses_mpi_) {
        return;
    }
    if (abandoned_ || std::uncaught_exceptions() > exceptions_at_start_) {
        // MPI may be stuck in a call about the lost rank: touch nothing of it any more.
        static_cast<void>(world_.release());
        return;
    }
    try {
        if (!static_cast<MpiCommunicator&>(*world_).flush(flush_seconds)) {
            log_warning("messages_not_received_at_end");
        }
        world_.reset();
        finalize_mpi();
    } catch (const std::exception& error) {
        log_warning(std::string("mpi_did_not_end_cleanly reason=") + error.what());
    }
}

void Session::abort(int exit_code) {
    if (uses_mpi_) {
        abort_mpi(exit_code);
    }
}

void Session::abandon() {
    if (uses_mpi_ && !std::exchange(abandoned_, true)) {
        static_cast<MpiCommunicator&>(*world_).flush(abandon_flush_seconds);
    }
}

}  // namespace lathe::comm
