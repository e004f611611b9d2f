#include "lib/checkpoint/safetensors.hpp"
#include "tests/fuzz/fuzzing.hpp"

// model.safetensors.index.json beside two shards, with tensors "a" and "b".
LATHE_FUZZ_TARGET(safetensors_index) {
    using namespace lathe;
    static const std::string first = fuzz::small_safetensors("a");
    static const std::string second = fuzz::small_safetensors("b");
    const auto directory = fuzz::put_directory("index", {{"model.safetensors.index.json", input},
                                                         {"1.safetensors", first},
                                                         {"2.safetensors", second}});
    fuzz::refuse_or([&] {
        const SafetensorsCheckpoint checkpoint(directory);
        fuzz::require(checkpoint.tensor_bytes() == 2 * checkpoint.tensors().size(),
                      "two bytes a tensor");
        (void)checkpoint.fingerprint();
    });
}
