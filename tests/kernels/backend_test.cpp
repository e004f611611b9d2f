#include <cstring>

#include "lib/core/errors.hpp"
#include "tests/kernels/kernel_fixture.hpp"

namespace lathe::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(BackendChoice, ListsReferenceFirst) {
    ASSERT_FALSE(available_backends().empty());
    EXPECT_EQ(available_backends().front(), BackendKind::reference);
}

TEST(BackendChoice, KnowsNames) {
    EXPECT_EQ(backend_from_name("reference"), BackendKind::reference);
    EXPECT_EQ(backend_from_name("cpu"), BackendKind::cpu);
    EXPECT_EQ(backend_from_name("cuda"), BackendKind::cuda);
    EXPECT_THAT(message_of<UsageError>([] { (void)backend_from_name("tpu"); }),
                HasSubstr("unknown backend \"tpu\"; backends are reference, cpu, cuda"));
}

TEST(BackendChoice, SaysThatCudaIsNotCompiled) {
    ThreadPool pool(1);
    EXPECT_THAT(message_of<UsageError>([&] { (void)make_backend(BackendKind::cuda, pool); }),
                HasSubstr("the CUDA backend is not compiled into this build"));
}

class Memory : public OnEachBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Memory, ::testing::ValuesIn(available_backends()),
                         backend_test_name);

TEST_P(Memory, IsZero) {
    for (const std::size_t n : {0U, 1U, 1000U, 3U << 20}) {
        const Array<float> array = backend->allocate<float>(n);
        ASSERT_EQ(array.size(), n);
        for (const float value : array.span()) {
            ASSERT_EQ(value, 0.0F);
        }
    }
}

TEST_P(Memory, TakesBfloat16ToStridedRowsAndBack) {
    const std::uint16_t bits[] = {0x3F80, 0x4000, 0xC040,
                                  0x0000, 0x3F00, 0x7F80};  // 1 2 -3 0 .5 inf
    std::vector<float> area(8, 9.0F);
    const MatrixView<float> y(area.data(), 2, 3, 4);
    backend->upload(reinterpret_cast<const std::byte*>(bits), DType::bf16, y);
    EXPECT_THAT(area, ElementsAre(1, 2, -3, 9, 0, 0.5, INFINITY, 9));

    std::vector<float> packed(6);
    backend->download(y, packed.data());
    EXPECT_THAT(packed, ElementsAre(1, 2, -3, 0, 0.5, INFINITY));
}

TEST_P(Memory, RefusesToUploadIntegers) {
    const std::int32_t number = 1;
    float value = 0.0F;
    EXPECT_THAT(message_of<DataError>([&] {
                    backend->upload(reinterpret_cast<const std::byte*>(&number), DType::i32,
                                    {&value, 1, 1});
                }),
                HasSubstr("upload: cannot convert int32"));
}

}  // namespace
}  // namespace lathe::kernels
