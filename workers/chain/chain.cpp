#include "workers/chain/chain.hpp"

#include "lib/core/errors.hpp"

namespace lathe {

ChainBase::ChainBase(const JobContext& context)
    : context_(context),
      n_blocks_(context.spec().n_blocks),
      share_(*context.world, read_samples(context.run.samples()).calibration) {}

std::string ChainBase::place() const {
    return is_behind_blocks() ? "head" : block_name(block_);
}

void ChainBase::require_finite(const ResidualStream& stream, const std::string& whose) const {
    if (!stream.all_finite()) {
        throw DataError("the activations after " + place() + " " + whose +
                        " are not finite (NaN or infinity) on the calibration samples");
    }
}

}  // namespace lathe
