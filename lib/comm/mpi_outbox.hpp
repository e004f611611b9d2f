#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <list>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include <mpi.h>

namespace lathe::comm {

/// What this rank has sent and MPI still needs: buffers, requests, and the thread that moves them.
class MpiOutbox {
public:
    MpiOutbox(MPI_Comm communicator, std::size_t max_piece_bytes);
    /// Buffers that MPI still holds are never freed: it may read them up to the end.
    ~MpiOutbox();
    MpiOutbox(const MpiOutbox&) = delete;
    MpiOutbox& operator=(const MpiOutbox&) = delete;

    void send(int to, int tag, std::vector<std::byte> bytes);
    bool flush(double limit_seconds);

private:
    struct Parcel {
        std::vector<std::byte> envelope;
        std::vector<std::byte> bytes;
        std::vector<MPI_Request> requests;
    };

    void start(Parcel& parcel, int to, int tag);
    void start_piece(Parcel& parcel, const std::byte* data, std::size_t size_bytes, int to,
                     int tag);
    int next_piece_tag();
    static bool has_left(Parcel& parcel);
    void progress(const std::stop_token& stop);

    MPI_Comm communicator_;
    std::size_t max_piece_bytes_;
    int last_tag_ = 0;
    int piece_tag_ = 0;

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::list<Parcel> parcels_;
    std::exception_ptr failure_;  ///< of the thread; thrown by the next send
    std::jthread thread_;         ///< last member: stops before the others go
};

}  // namespace lathe::comm
