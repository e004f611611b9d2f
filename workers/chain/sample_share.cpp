#include "workers/chain/sample_share.hpp"

#include <algorithm>

#include "workers/network/forward.hpp"

namespace lathe {

namespace {

/// Decides how sums are grouped, so it must not depend on the machine. A rank without a part only
/// waits; with more parts more sums are sent.
constexpr std::size_t most_parts = 8;

}  // namespace

SampleShare::SampleShare(comm::Communicator& world, const TokenSequences& all) : world_(world) {
    const std::vector<SequenceRange> batches = all.ranges(tokens_per_batch);
    n_batches_ = batches.size();
    n_parts_ = n_parts(all);
    const auto first_batch = [&](std::size_t part) {
        return n_parts_ == 0 ? 0 : part * batches.size() / n_parts_;
    };
    const std::size_t first = first_part(world.rank());
    const std::size_t last = first_part(world.rank() + 1);
    const std::span own =
        std::span(batches).subspan(first_batch(first), first_batch(last) - first_batch(first));
    if (own.empty()) {
        return;
    }
    first_batch_ = first_batch(first);
    SequenceRange share = own.front();
    share.count = own.back().first + own.back().count - share.first;
    share.tokens = own.back().first_token + own.back().tokens - share.first_token;
    samples_ = all.part(share);
    for (SequenceRange batch : own) {
        batch.first -= share.first;
        batch.first_token -= share.first_token;
        batches_.push_back(batch);
    }
    for (std::size_t part = first; part < last; ++part) {
        parts_.push_back(
            {part, std::span(batches_).subspan(first_batch(part) - first_batch(first),
                                               first_batch(part + 1) - first_batch(part))});
    }
}

std::size_t SampleShare::n_parts(const TokenSequences& all) {
    return std::min(most_parts, all.ranges(tokens_per_batch).size());
}

bool SampleShare::as_rank_0_says(bool answer) const {
    if (!leads()) {
        return receive_numbers(world_, 0).front() != 0.0;
    }
    for (int rank = 1; rank < world_.size(); ++rank) {
        send_numbers(world_, rank, {answer ? 1.0 : 0.0});
    }
    return answer;
}

std::size_t SampleShare::number_of(const SequenceRange& batch) const {
    const auto place = std::ranges::find(batches_, batch.first, &SequenceRange::first);
    return first_batch_ + static_cast<std::size_t>(place - batches_.begin());
}

std::size_t SampleShare::most_tokens() const {
    std::size_t most = 0;
    for (const SequenceRange& batch : batches_) {
        most = std::max(most, batch.tokens);
    }
    return most;
}

std::size_t SampleShare::first_part(int rank) const {
    return static_cast<std::size_t>(rank) * n_parts_ / static_cast<std::size_t>(world_.size());
}

void give_up_share(comm::Communicator& world) {
    if (world.rank() != 0) {
        world.send(0, comm::Tag::share, {});
        return;
    }
    for (int rank = 1; rank < world.size(); ++rank) {
        world.send(rank, comm::Tag::share, {});
    }
}

}  // namespace lathe
