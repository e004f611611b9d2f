#include "lib/checkpoint/encoded_tensor_io.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/encoding/low_rank.hpp"
#include "lib/encoding/split.hpp"
#include "lib/encoding/zeros.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class EncodedTensorIo : public DirectoryTest {};

EncodedTensor integer_tensor() {
    const std::vector<std::uint8_t> codes{1, 2, 3, 4, 5, 6, 7, 0, 1, 2};
    const std::vector<float> scales{0.5F, 1.0F, 2.0F, 4.0F};
    const std::vector<float> zeros{4, 3, 2, 1};
    return encode_integer({2, 5}, {.num_bits = 3, .group_size = 4, .symmetric = false},
                          {codes.data(), 2, 5}, {scales.data(), 2, 2}, {zeros.data(), 2, 2});
}

EncodedTensor five_ones() {
    const std::vector<float> ones(5, 1.0F);
    return encode_dense({ones.data(), 1, 5}, {1, 5}, DType::f16);
}

TEST_F(EncodedTensorIo, TensorsComeBack) {
    const float one = 1.0F;
    const std::map<std::string, EncodedTensor> tensors{
        {"/q", integer_tensor()},
        {"/norm", encode_dense({&one, 1, 1}, {1}, DType::bf16)},
        {"/scalar", encode_dense({&one, 1, 1}, {}, DType::f32)},
        {"/split", encode_split(SplitAxis::rows,
                                {integer_tensor(), encode_zeros({1, 5}),
                                 encode_low_rank(encode_dense({&one, 1, 1}, {1, 1}, DType::f16),
                                                 five_ones())})}};
    {
        ArtifactWriter file(dir / "a.h5");
        for (const auto& [path, tensor] : tensors) {
            write_encoded(file, path, tensor);
        }
        file.commit();
    }
    const ArtifactReader file(dir / "a.h5");
    for (const auto& [path, tensor] : tensors) {
        EXPECT_EQ(content_hash(read_encoded(file, path)), content_hash(tensor)) << path;
        EXPECT_EQ(read_shape(file, path), tensor.shape);
        const EncodedTensor header = read_encoded_header(file, path);
        EXPECT_EQ(header.encoding, tensor.encoding);
        EXPECT_EQ(header.settings, tensor.settings);
        EXPECT_EQ(stored_bytes(header), stored_bytes(tensor));
        EXPECT_EQ(stored_content_hash(file, path), to_hex(content_hash(tensor)));
    }
}

TEST_F(EncodedTensorIo, PiecesWithinPiecesEndSomewhere) {
    {
        ArtifactWriter file(dir / "a.h5");
        std::string path = "/q";
        for (int depth = 0; depth < 4; ++depth, path += "/0") {
            file.group(path, {{"encoding", "split"}, {"shape", "1,1"}, {"axis", std::int64_t{0}}});
        }
        file.commit();
    }
    EXPECT_THAT([&] { (void)read_encoded(ArtifactReader(dir / "a.h5"), "/q"); },
                ThrowsMessage<DataError>(HasSubstr("pieces within pieces")));
}

TEST_F(EncodedTensorIo, AnythingWrongIsRefused) {
    const EncodedTensor tensor = integer_tensor();
    const auto refused = [&](const std::string& key, const AttributeValue& value,
                             const char* text) {
        ArtifactWriter out(dir / "a.h5");
        write_encoded(out, "/q", tensor);
        out.group("/q", {{key, value}});
        out.commit();
        const ArtifactReader file(dir / "a.h5");
        EXPECT_THAT([&] { (void)read_encoded(file, "/q"); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr("a.h5: /q"), HasSubstr(text))));
    };
    refused("encoding", std::string("zip"), "unknown encoding 'zip'");
    refused("shape", std::string("2,"), "shape is '2,'");
    refused("shape", std::string("5,2"), "has shape");
    refused("num_bits", std::int64_t{2}, "part 'zeros' holds 4");
    refused("num_bits", 0.5, "attribute 'num_bits' is not an integer");
    refused("content_hash", std::string("0000000000000000"), "content hash is");
}

}  // namespace
}  // namespace lathe
