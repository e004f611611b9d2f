#include "workers/network/divergence.hpp"

#include <numeric>
#include <vector>

namespace lathe {

void divergence(const kernels::Backend& backend, MatrixView<const float> p,
                MatrixView<const float> q, std::span<double> kl, std::span<std::uint8_t> agree) {
    if (p.cols != 1) {
        backend.kl_divergence(p, q, kl, agree);
        return;
    }
    const std::vector<float> p_host = backend.to_host(p);
    const std::vector<float> q_host = backend.to_host(q);
    for (std::size_t r = 0; r < p.rows; ++r) {
        const double difference = double{p_host[r]} - q_host[r];
        kl[r] = difference * difference / 2.0;
        agree[r] = 1;
    }
}

double total_divergence(const kernels::Backend& backend, MatrixView<const float> p,
                        MatrixView<const float> q) {
    std::vector<double> kl(p.rows);
    std::vector<std::uint8_t> agree(p.rows);
    divergence(backend, p, q, kl, agree);
    return std::accumulate(kl.begin(), kl.end(), 0.0);
}

}  // namespace lathe
