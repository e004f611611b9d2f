#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include <mpi.h>

#include "lib/comm/communicator.hpp"

namespace lathe::comm {

/// Messages that have arrived or are arriving, whole or in part, in the order of their envelopes.
class MpiInbox {
public:
    explicit MpiInbox(MPI_Comm communicator, int rank) : communicator_(communicator), rank_(rank) {}
    MpiInbox(const MpiInbox&) = delete;
    MpiInbox& operator=(const MpiInbox&) = delete;

    /// A message of this rank to itself: MPI has no part in it.
    void deliver_to_self(Tag tag, std::vector<std::byte> bytes);
    std::optional<Message> try_receive(int from, Tag tag);

private:
    struct Parcel {
        Message message;
        std::vector<MPI_Request> requests;  ///< pieces not known to be here
        bool is_broken = false;             ///< not all of its pieces could be asked for
    };

    void accept_envelope(int from, Tag tag);
    void start_pieces(Parcel& parcel, std::size_t piece_bytes, int piece_tag);
    [[nodiscard]] static Parcel make_room(int source, std::size_t size_bytes,
                                          std::size_t piece_bytes);
    static bool is_whole(Parcel& parcel);

    MPI_Comm communicator_;
    int rank_;
    std::mutex mutex_;
    std::map<Tag, std::deque<Parcel>> parcels_;
};

}  // namespace lathe::comm
