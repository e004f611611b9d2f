#include "lib/config/cluster_config.hpp"
#include "lib/core/utf8.hpp"
#include "tests/fuzz/fuzzing.hpp"

// A cluster file: what is taken has figures that can be divided by.
LATHE_FUZZ_TARGET(cluster_yaml) {
    using namespace lathe;
    if (!is_valid_utf8(input)) return;  // refused before it is parsed
    fuzz::refuse_or([&] {
        const ClusterConfig cluster = read_cluster(std::string(input), "cluster.yaml");
        fuzz::require(cluster.n_devices() > 0, "there are devices");
        for (const ClusterFigure& figure :
             {cluster.forward, cluster.gram, cluster.solve, cluster.link, cluster.network,
              cluster.read, cluster.write}) {
            fuzz::require(figure.value > 0.0 && figure.value <= 1e20, "speeds are above 0");
        }
        fuzz::require(cluster.cache == 0 || cluster.cached.value > 0.0, "a cache has a speed");
    });
}
