#include "workers/chain/chain.hpp"

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {

ChainBase::ChainBase(const JobContext& context, const StoredStreams& stored)
    : context_(context),
      n_blocks_(context.spec().n_blocks),
      share_(*context.world, read_samples(context.run.samples()).calibration),
      stored_(stored),
      block_(stored.block.value_or(0)) {
    if (stored.in_files) {
        folder_ = context.run.chain_streams(stored.fingerprint);
        make_directories(folder_);
    }
}

void ChainBase::begin(std::vector<ResidualStream*> streams, const std::function<void()>& embed) {
    streams_ = std::move(streams);
    if (stored_.block) {
        read_streams(context_, stored_, share_, streams_, boundary(0));
    } else {
        embed();
    }
}

void ChainBase::store_streams() {
    if (has_ended() || streams_.empty() || !share_.as_rank_0_says(pace_.is_due())) {
        return;
    }
    const auto start = std::chrono::steady_clock::now();
    const std::vector<const ResidualStream*> streams(streams_.begin(), streams_.end());
    write_streams(context_.run, {stored_.fingerprint, block_, false}, share_, streams);
    pace_.has_stored(std::chrono::steady_clock::now() - start);
    // All ranks have stored before the block of the last but one time. Where this run began stays:
    // a chain that fails begins there again.
    stored_blocks_.push_back(block_);
    if (share_.leads() && stored_blocks_.size() > 2) {
        std::error_code ignored;
        std::filesystem::remove_all(
            context_.run.chain_streams(stored_.fingerprint, stored_blocks_.end()[-3]), ignored);
    }
}

std::string ChainBase::place() const {
    return place_name(block_, n_blocks_);
}

void ChainBase::require_finite(const ResidualStream& stream, const std::string& whose) const {
    if (!stream.all_finite()) {
        throw DataError("the activations after " + place() + " " + whose +
                        " are not finite (NaN or infinity) on the calibration samples");
    }
}

}  // namespace lathe
