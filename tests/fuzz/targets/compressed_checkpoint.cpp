#include "workers/checkpoint/compressed_checkpoint.hpp"

#include "lib/model/stream.hpp"
#include "tests/fuzz/fuzzing.hpp"

// The directory of a compressed checkpoint: master, shards, config.json. The first byte chooses a
// tensor.
LATHE_FUZZ_TARGET(compressed_checkpoint) {
    using namespace lathe;
    fuzz::allow_memory();
    const std::size_t choice = fuzz::take_byte(input);
    const auto directory = fuzz::put_directory(
        "checkpoint", fuzz::parts_of(input, {"checkpoint.h5", "blocks/outer.h5", "blocks/0000.h5",
                                             "config.json", slicing_file}));
    fuzz::refuse_or([&] {
        const CompressedCheckpoint checkpoint(directory);
        const std::size_t t = choice % checkpoint.spec().tensors.size();
        fuzz::refuse_or([&] { (void)checkpoint.source_dtype(t); });
        fuzz::refuse_or([&] { (void)checkpoint.read_header(t); });
        fuzz::refuse_or([&] { (void)checkpoint.read(t, false); });
    });
}
