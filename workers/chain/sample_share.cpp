#include "workers/chain/sample_share.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "lib/core/errors.hpp"
#include "workers/network/forward.hpp"

namespace lathe {

namespace {

/// Decides how sums are grouped, so it must not depend on the machine. A rank without a part only
/// waits; with more parts more sums are sent.
constexpr std::size_t most_parts = 8;

}  // namespace

SampleShare::SampleShare(comm::Communicator& world, const TokenSequences& all) : world_(world) {
    const std::vector<SequenceRange> batches = all.ranges(tokens_per_batch);
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
        return receive(0).front() != 0.0;
    }
    for (int rank = 1; rank < world_.size(); ++rank) {
        send(rank, {answer ? 1.0 : 0.0});
    }
    return answer;
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

void SampleShare::send(int to, const std::vector<double>& values) const {
    std::vector<std::byte> bytes(values.size() * sizeof(double));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    world_.send(to, comm::Tag::share, std::move(bytes));
}

std::vector<double> SampleShare::receive(int from) const {
    const auto message = world_.receive(from, comm::Tag::share);
    if (!message || message->bytes.empty()) {
        throw StoppedError("stopped: rank " + std::to_string(from) +
                           " gave up its part of the same task");
    }
    std::vector<double> values(message->bytes.size() / sizeof(double));
    std::memcpy(values.data(), message->bytes.data(), message->bytes.size());
    return values;
}

void add_values_to(MatrixView<double> sums, std::span<const double> values,
                   const kernels::Backend& backend) {
    std::vector<double> host = backend.to_host(sums);
    std::ranges::transform(host, values, host.begin(), std::plus<>());
    backend.copy<double>({host.data(), sums.rows, sums.cols}, sums);
}

void add_values_to(MatrixView<float> sums, std::span<const double> values,
                   const kernels::Backend& backend) {
    std::vector<float> host = backend.to_host(sums);
    std::ranges::transform(host, values, host.begin(),
                           [](float x, double y) { return x + static_cast<float>(y); });
    backend.copy<float>({host.data(), sums.rows, sums.cols}, sums);
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
