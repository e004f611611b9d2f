#include "lib/comm/mpi_outbox.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "lib/comm/backoff.hpp"
#include "lib/comm/mpi_wire.hpp"

namespace lathe::comm {
namespace {

/// The highest tag that this MPI allows.
int highest_tag(MPI_Comm communicator) {
    void* value = nullptr;
    int found = 0;
    check_mpi(MPI_Comm_get_attr(communicator, MPI_TAG_UB, &value, &found), "MPI_Comm_get_attr");
    constexpr int guaranteed_by_the_standard = 32767;
    return found != 0 ? *static_cast<const int*>(value) : guaranteed_by_the_standard;
}

}  // namespace

MpiOutbox::MpiOutbox(MPI_Comm communicator, std::size_t max_piece_bytes)
    : communicator_(communicator),
      max_piece_bytes_(max_piece_bytes),
      last_tag_(highest_tag(communicator)),
      piece_tag_(first_piece_tag),
      thread_([this](const std::stop_token& stop) { progress(stop); }) {}

MpiOutbox::~MpiOutbox() {
    thread_.request_stop();
    thread_.join();
    // MPI may still read what has not left: kept until the process ends.
    static auto* const kept = new std::list<Parcel>;
    kept->splice(kept->end(), parcels_);
}

void MpiOutbox::send(int to, int tag, std::vector<std::byte> bytes) {
    const std::unique_lock lock(mutex_);
    if (failure_) {
        std::rethrow_exception(failure_);
    }
    // In the list first: if a call below throws, pieces already started keep their buffer.
    Parcel& parcel = parcels_.emplace_back();
    parcel.bytes = std::move(bytes);
    start(parcel, to, tag);
    if (has_left(parcel)) {
        parcels_.pop_back();
    } else {
        changed_.notify_all();
    }
}

void MpiOutbox::start(Parcel& parcel, int to, int tag) {
    Envelope envelope;
    envelope.size_bytes = parcel.bytes.size();
    envelope.piece_bytes = max_piece_bytes_;
    const bool is_inline = parcel.bytes.size() <= std::min(max_inline_bytes, max_piece_bytes_);
    envelope.piece_tag = is_inline ? 0 : next_piece_tag();

    parcel.envelope.resize(sizeof envelope);
    std::memcpy(parcel.envelope.data(), &envelope, sizeof envelope);
    if (is_inline) {
        parcel.envelope.insert(parcel.envelope.end(), parcel.bytes.begin(), parcel.bytes.end());
        parcel.bytes.clear();
    }
    start_piece(parcel, parcel.envelope.data(), parcel.envelope.size(), to, tag);
    for (std::size_t at = 0; at < parcel.bytes.size(); at += max_piece_bytes_) {
        start_piece(parcel, parcel.bytes.data() + at,
                    std::min(max_piece_bytes_, parcel.bytes.size() - at), to,
                    static_cast<int>(envelope.piece_tag));
    }
}

void MpiOutbox::start_piece(Parcel& parcel, const std::byte* data, std::size_t size_bytes, int to,
                            int tag) {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(
        MPI_Isend(data, static_cast<int>(size_bytes), MPI_BYTE, to, tag, communicator_, &request),
        "MPI_Isend");
    parcel.requests.push_back(request);
}

int MpiOutbox::next_piece_tag() {
    const int tag = piece_tag_;
    piece_tag_ = piece_tag_ == last_tag_ ? first_piece_tag : piece_tag_ + 1;
    return tag;
}

bool MpiOutbox::has_left(Parcel& parcel) {
    int all = 0;
    check_mpi(MPI_Testall(static_cast<int>(parcel.requests.size()), parcel.requests.data(), &all,
                          MPI_STATUSES_IGNORE),
              "MPI_Testall");
    return all != 0;
}

void MpiOutbox::progress(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    try {
        Backoff backoff;
        while (changed_.wait(lock, stop, [this] { return !parcels_.empty(); }) &&
               !stop.stop_requested()) {
            if (std::erase_if(parcels_, [](Parcel& parcel) { return has_left(parcel); }) > 0) {
                backoff.reset();
                changed_.notify_all();
            }
            changed_.wait_for(lock, stop, backoff.next(), [] { return false; });
        }
    } catch (...) {
        failure_ = std::current_exception();
    }
}

bool MpiOutbox::flush(double limit_seconds) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::duration<double>(limit_seconds),
                      [this] { return parcels_.empty() || failure_; });
    return parcels_.empty();
}

}  // namespace lathe::comm
