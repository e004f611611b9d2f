#include "lib/checkpoint/safetensors_header.hpp"

#include <cstring>
#include <span>

#include "tests/fuzz/fuzzing.hpp"

// A safetensors file: what its header says of tensors lies inside the file.
LATHE_FUZZ_TARGET(safetensors_header) {
    using namespace lathe;
    fuzz::refuse_or([&] {
        const SafetensorsHeader header =
            read_safetensors_header(std::as_bytes(std::span(input)), "model.safetensors");
        const std::uint64_t data_bytes = input.size() - header.data_begin;
        std::uint64_t covered = 0;
        for (const HeaderEntry& entry : header.entries) {
            fuzz::require(entry.begin <= entry.end && entry.end <= data_bytes, "data in the file");
            fuzz::require(
                element_count(entry.shape) * size_bytes(entry.dtype) == entry.end - entry.begin,
                "bytes for the shape");
            covered += entry.end - entry.begin;
        }
        fuzz::require(covered == data_bytes, "all bytes are some tensor's");
    });
}
