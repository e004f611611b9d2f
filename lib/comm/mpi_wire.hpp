#pragma once

#include <cstddef>
#include <cstdint>

#include <mpi.h>

namespace lathe::comm {

/// @throws InternalError  naming `call`, with MPI's own text, unless `code` is MPI_SUCCESS
void check_mpi(int code, const char* call);

/// First bytes of every message. Both ends run the same program on the same kind of processor.
struct Envelope {
    std::uint64_t size_bytes = 0;   ///< of the content
    std::uint64_t piece_bytes = 0;  ///< of every piece but the last
    std::int64_t piece_tag = 0;     ///< MPI tag of the pieces; 0: the content follows right here
};

/// Content up to this size travels in the envelope. Below the eager limit of every transport of
/// OpenMPI (4 KiB in shared memory), so that an envelope that is seen can be read without waiting.
inline constexpr std::size_t max_inline_bytes = 2048;

/// MPI tags from here on are for pieces; the values of comm::Tag are far below.
inline constexpr int first_piece_tag = 1024;

}  // namespace lathe::comm
