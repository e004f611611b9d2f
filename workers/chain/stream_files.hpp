#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "workers/chain/sample_share.hpp"
#include "workers/job/job_context.hpp"
#include "workers/network/residual_stream.hpp"

namespace lathe {

/// The streams of a chain as they are stored before a block, RunDirectory::chain_streams(): a file
/// for each part of the samples (SampleShare), so that another number of ranks can read them. A
/// file has the attribute `fingerprint`, to_text() of these, and for each stream S and batch B of
/// the part a dataset /S/B, float32 [tokens, width].
struct StoredStreams {
    /// Stands for everything that the streams depend on but the block.
    std::string fingerprint;
    /// The block before which a chain begins; none: at the embedding.
    std::optional<std::size_t> block;
    /// Whether the streams of the chain that begins here stay in files on their way: in memory they
    /// would take more than a rank may use.
    bool in_files = false;
};

/// "FINGERPRINT/3", "FINGERPRINT/", "FINGERPRINT/3/files": as tasks carry it, and back.
[[nodiscard]] std::string to_text(const StoredStreams& streams);
[[nodiscard]] StoredStreams stored_streams_from_text(const std::string& text);

/// The last block up to `last` before which the streams of all parts are stored.
[[nodiscard]] std::optional<std::size_t> last_stored_block(const RunDirectory& run,
                                                           const std::string& fingerprint,
                                                           std::size_t n_parts, std::size_t last);

/// Writes the parts that this rank has. @throws IoError
void write_streams(const RunDirectory& run, const StoredStreams& where, const SampleShare& share,
                   std::span<const ResidualStream* const> streams);

/// Reads them into streams that are to stand before `step` of the model.
/// @throws StoppedError  if a file is damaged; it is removed, so that the next run does without
void read_streams(const JobContext& context, const StoredStreams& where, const SampleShare& share,
                  std::span<ResidualStream* const> streams, std::size_t step);

}  // namespace lathe
