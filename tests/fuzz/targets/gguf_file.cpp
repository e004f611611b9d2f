#include "tests/fuzz/fuzzing.hpp"
#include "workers/exports/gguf/dequantise.hpp"
#include "workers/exports/gguf/file_reader.hpp"

// A GGUF file of anybody's: what its table says of tensors lies inside the file, in whole blocks.
LATHE_FUZZ_TARGET(gguf_file) {
    using namespace lathe;
    const auto path = fuzz::put("model.gguf", input);
    fuzz::refuse_or([&] {
        const gguf::FoundFile file = gguf::FoundFile::read(path);
        for (const auto& [name, tensor] : file.tensors) {
            std::size_t elements = 1;
            for (const std::uint64_t extent : tensor.extents) {
                elements *= extent;
            }
            fuzz::require(gguf::dequantise(tensor.type, tensor.bytes).size() == elements,
                          "values for the shape");
        }
    });
}
