#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "lib/comm/communicator.hpp"

namespace lathe::comm {

/// Starts MPI in this process, with support for calls from any thread.
/// @throws UsageError  if the MPI library cannot do that, or if it found fewer ranks than the
///   launcher started (`n_expected`; 0: not known)
void initialize_mpi(int* argc, char*** argv, int n_expected);
/// Collective: hangs if a rank is lost.
void finalize_mpi();
[[noreturn]] void abort_mpi(int exit_code);

/// Messages over MPI, on a duplicate of the world communicator of its own.
///
/// A message is one small MPI message, the envelope, that says how long the content is. Short
/// content travels in the envelope; long content follows in pieces of at most `max_piece_bytes`,
/// under an MPI tag that no other message in flight from this rank uses. So messages that several
/// threads send or receive at once cannot be mixed up.
///
/// A thread of its own moves long messages on while the others compute; it sleeps when nothing is
/// under way.
class MpiCommunicator final : public Communicator {
public:
    static constexpr std::size_t default_piece_bytes = std::size_t{1} << 30;

    /// Collective over all ranks. `max_piece_bytes` is 1 to 2^31 - 1, the most that one MPI call
    /// can count.
    explicit MpiCommunicator(std::size_t max_piece_bytes = default_piece_bytes);
    ~MpiCommunicator() override;

    [[nodiscard]] int rank() const noexcept override;
    [[nodiscard]] int size() const noexcept override;
    [[nodiscard]] int local_size() const noexcept override;
    [[nodiscard]] int local_rank() const noexcept override;
    [[nodiscard]] const std::vector<RankPlace>& places() const noexcept override;
    void send(int to, Tag tag, std::vector<std::byte> bytes) override;
    std::optional<Message> try_receive(int from, Tag tag) override;

    /// Waits until everything sent has left this process, but not longer than this. Returns whether
    /// it has.
    bool flush(double limit_seconds);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace lathe::comm
