#include "lib/checkpoint/artifact.hpp"
#include "tests/fuzz/fuzzing.hpp"
#include "workers/samples/token_data.hpp"

// An HDF5 file of token ids, whose HDF5 is sound: datasets of any shape and type. Of the input, the
// first bytes choose those, the others are the data.
LATHE_FUZZ_TARGET(token_rows) {
    using namespace lathe;
    constexpr DType types[] = {DType::i64, DType::i32, DType::u8,
                               DType::u64, DType::f32, DType::f64};
    const auto path = fuzz::scratch() / "tokens.h5";
    {
        ArtifactWriter writer(path);
        for (const char* name : {"/input_ids", "/attention_mask", "/token_type_ids"}) {
            const std::size_t choice = fuzz::take_byte(input);
            if (choice == 255) continue;
            const DType type = types[choice % std::size(types)];
            Shape shape{fuzz::take_byte(input) % 5, fuzz::take_byte(input) % 9};
            shape.resize(1 + choice / std::size(types) % 3, 2);
            std::vector<std::byte> data(element_count(shape) * size_bytes(type));
            for (std::byte& byte : data) byte = static_cast<std::byte>(fuzz::take_byte(input));
            writer.dataset(name, type, shape, data.data());
        }
        writer.commit();
    }
    fuzz::refuse_or([&] {
        const TokenSequences rows = read_token_rows(path, 1000);
        for (const std::uint32_t id : rows.ids) fuzz::require(id < 1000, "an id of the vocabulary");
        for (const std::uint32_t segment : rows.segments) {
            fuzz::require(segment < 2, "a segment is the first or the second");
        }
        fuzz::require(rows.segments.empty() || rows.segments.size() == rows.ids.size(),
                      "a segment a token");
    });
    const std::vector<std::filesystem::path> files{path};
    fuzz::refuse_or([&] { (void)read_token_stream(files, TextReader(nullptr), 1000); });
}
