#include "lib/comm/mpi_inbox.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <limits>
#include <string>
#include <utility>

#include "lib/comm/mpi_wire.hpp"
#include "lib/core/errors.hpp"

namespace lathe::comm {

void MpiInbox::deliver_to_self(Tag tag, std::vector<std::byte> bytes) {
    const std::lock_guard lock(mutex_);
    parcels_[tag].push_back({{rank_, std::move(bytes)}, {}});
}

std::optional<Message> MpiInbox::try_receive(int from, Tag tag) {
    const std::lock_guard lock(mutex_);
    if (from != rank_) {
        accept_envelope(from, tag);
    }
    auto& queue = parcels_[tag];
    std::vector<int> waiting;  // ranks whose oldest message is not whole yet: keep their order
    for (auto parcel = queue.begin(); parcel != queue.end(); ++parcel) {
        const int source = parcel->message.source;
        if (from != -1 && source != from) {
            continue;
        }
        if (std::ranges::find(waiting, source) != waiting.end()) {
            continue;
        }
        if (parcel->is_broken) {
            throw InternalError("a message of " + std::to_string(parcel->message.bytes.size()) +
                                " bytes from rank " + std::to_string(source) +
                                " cannot be received");
        }
        if (is_whole(*parcel)) {
            Message message = std::move(parcel->message);
            queue.erase(parcel);
            return message;
        }
        waiting.push_back(source);
    }
    return std::nullopt;
}

void MpiInbox::accept_envelope(int from, Tag tag) {
    int found = 0;
    MPI_Message handle = MPI_MESSAGE_NULL;
    MPI_Status status;
    check_mpi(MPI_Improbe(from == -1 ? MPI_ANY_SOURCE : from, static_cast<int>(tag), communicator_,
                          &found, &handle, &status),
              "MPI_Improbe");
    if (found == 0) {
        return;
    }

    int size_bytes = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &size_bytes), "MPI_Get_count");
    std::vector<std::byte> bytes(static_cast<std::size_t>(size_bytes));
    check_mpi(MPI_Mrecv(bytes.data(), size_bytes, MPI_BYTE, &handle, &status), "MPI_Mrecv");
    Envelope envelope;
    if (bytes.size() < sizeof envelope) {
        throw InternalError("a message of " + std::to_string(size_bytes) + " bytes from rank " +
                            std::to_string(status.MPI_SOURCE) + " has no envelope");
    }
    std::memcpy(&envelope, bytes.data(), sizeof envelope);

    if (envelope.piece_tag == 0) {
        parcels_[tag].push_back(
            {{status.MPI_SOURCE, {bytes.begin() + sizeof envelope, bytes.end()}}, {}});
        return;
    }
    // In the queue once nothing but MPI can fail: what is there counts as a message.
    Parcel& parcel = parcels_[tag].emplace_back(
        make_room(status.MPI_SOURCE, envelope.size_bytes, envelope.piece_bytes));
    try {
        start_pieces(parcel, envelope.piece_bytes, static_cast<int>(envelope.piece_tag));
    } catch (...) {
        parcel.is_broken = true;  // kept, since MPI may write to it
        throw;
    }
}

MpiInbox::Parcel MpiInbox::make_room(int source, std::size_t size_bytes, std::size_t piece_bytes) {
    const std::string what =
        "a message of " + std::to_string(size_bytes) + " bytes from rank " + std::to_string(source);
    if (piece_bytes == 0 || piece_bytes > std::numeric_limits<int>::max()) {
        throw InternalError(what + " in pieces of " + std::to_string(piece_bytes) +
                            " bytes: expected 1 to 2147483647");
    }
    try {
        Parcel parcel;
        parcel.message.source = source;
        parcel.message.bytes.resize(size_bytes);
        parcel.requests.reserve(size_bytes / piece_bytes + 1);
        return parcel;
    } catch (const std::exception&) {  // bad_alloc, length_error
        throw InternalError("no memory for " + what);
    }
}

void MpiInbox::start_pieces(Parcel& parcel, std::size_t piece_bytes, int piece_tag) {
    std::vector<std::byte>& bytes = parcel.message.bytes;
    for (std::size_t at = 0; at < bytes.size(); at += piece_bytes) {
        MPI_Request request = MPI_REQUEST_NULL;
        check_mpi(
            MPI_Irecv(bytes.data() + at, static_cast<int>(std::min(piece_bytes, bytes.size() - at)),
                      MPI_BYTE, parcel.message.source, piece_tag, communicator_, &request),
            "MPI_Irecv");
        parcel.requests.push_back(request);
    }
}

bool MpiInbox::is_whole(Parcel& parcel) {
    if (parcel.requests.empty()) {
        return true;
    }
    int all = 0;
    check_mpi(MPI_Testall(static_cast<int>(parcel.requests.size()), parcel.requests.data(), &all,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
    if (all != 0) {
        parcel.requests.clear();
    }
    return all != 0;
}

}  // namespace lathe::comm
