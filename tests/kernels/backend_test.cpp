#include <algorithm>
#include <cstring>
#include <limits>
#include <span>

#include "kernels/backends.hpp"
#include "kernels/cuda_plugin.hpp"
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

TEST(BackendChoice, SaysWhyThereIsNoCuda) {
    const std::vector<BackendKind> kinds = available_backends();
    if (std::ranges::count(kinds, BackendKind::cuda) > 0) {
        GTEST_SKIP() << "there is a CUDA device";
    }
    ThreadPool pool(1);
    EXPECT_THAT(message_of<UsageError>([&] { (void)make_backend(BackendKind::cuda, pool); }),
                HasSubstr(is_cuda_compiled() ? "the CUDA backend cannot be used: "
                                             : "the CUDA backend is not compiled into this build"));
}

class Memory : public OnEachBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, Memory, ::testing::ValuesIn(available_backends()),
                         backend_test_name);

TEST_P(Memory, IsZero) {
    for (const std::size_t n : {0U, 1U, 1000U, 3U << 20}) {
        const Array<float> array = backend->allocate<float>(n);
        ASSERT_EQ(array.size(), n);
        for (const float value : backend->to_host(array.matrix(1, n))) {
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

TEST_P(Memory, CopiesBetweenHostAndBackend) {
    const std::vector<float> host{1, 2, 3, 4, 5, 6};
    const Array<float> own = backend->allocate<float>(8);
    backend->copy({host.data(), 2, 3}, MatrixView<float>(own.data(), 2, 3, 4));
    EXPECT_THAT(backend->to_host(own.matrix(2, 4)), ElementsAre(1, 2, 3, 0, 4, 5, 6, 0));
    EXPECT_THAT(backend->to_host(own.matrix(2, 4).col_range(1, 2)), ElementsAre(2, 3, 5, 6));
    const Array<float> other = backend->allocate<float>(4);
    backend->copy(own.matrix(2, 4).col_range(0, 2), other.matrix(2, 2));
    EXPECT_THAT(backend->to_host(other.matrix(1, 4)), ElementsAre(1, 2, 4, 5));
    EXPECT_THAT(message_of<ShapeError>([&] {
                    backend->copy({host.data(), 2, 3}, other.matrix(2, 2));
                }),
                HasSubstr("copy: columns of x is 3 but columns of y is 2"));
}

TEST_P(Memory, SubtractsExactly) {
    const Matrix<float> x = random_matrix(7, 33, 1);
    const Matrix<float> y = random_matrix(7, 33, 2);
    Matrix<float> z(7, 33);
    backend->subtract(x.view(), y.view(), z.view());
    for (std::size_t i = 0; i < z.values.size(); ++i) {
        ASSERT_EQ(z.values[i], x.values[i] - y.values[i]);
    }
    backend->subtract(z.view(), z.view(), z.view());
    EXPECT_EQ(z.values, std::vector<float>(7 * 33, 0.0F));
}

TEST_P(Memory, MirrorsAnUpperTriangle) {
    constexpr std::size_t n = 70;  // more than two tiles
    Matrix<float> y(n, n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            y.view()(i, j) =
                j < i ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(i * n + j);
        }
    }
    backend->mirror_upper(y.view());
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            ASSERT_EQ(y.view()(i, j), static_cast<float>(std::min(i, j) * n + std::max(i, j)));
        }
    }
}

/// The same call with everything in host memory and in the backend's own.
void expect_same_from_own_memory(
    const Backend& backend, const Matrix<float>& x, const Matrix<float>& w,
    const std::function<void(MatrixView<const float>, MatrixView<const float>, MatrixView<float>)>&
        call,
    std::size_t cols) {
    Matrix<float> expected(x.rows, cols);
    call(x.view(), w.view(), expected.view());
    const Array<float> own_x = backend.allocate<float>(x.values.size());
    const Array<float> own_w = backend.allocate<float>(w.values.size());
    const Array<float> own_y = backend.allocate<float>(x.rows * cols);
    backend.copy(x.view(), own_x.matrix(x.rows, x.cols));
    backend.copy(w.view(), own_w.matrix(w.rows, w.cols));
    const MatrixView<float> y = own_y.matrix(x.rows, cols);
    call(own_x.matrix(x.rows, x.cols), own_w.matrix(w.rows, w.cols), y);
    EXPECT_EQ(backend.to_host(y), expected.values);
}

TEST_P(Memory, ItDoesNotShowWhereOperandsLie) {
    const Matrix<float> x = random_matrix(33, 64, 1);
    const Matrix<float> w = random_matrix(20, 64, 2);
    expect_same_from_own_memory(
        *backend, x, w,
        [&](auto a, auto b, auto y) { backend->linear(a, b, std::span(b.data, 20), y); }, 20);
    expect_same_from_own_memory(
        *backend, x, w,
        [&](auto a, auto b, auto y) { backend->rms_norm(a, std::span(b.data, 64), 1e-5F, y); }, 64);
    expect_same_from_own_memory(
        *backend, x, w,
        [&](auto a, auto, auto y) {
            AttentionShape shape;
            shape.query_length = 33;
            shape.key_length = 33;
            shape.n_heads = 4;
            shape.n_kv_heads = 4;
            shape.head_dim = 16;
            backend->attention(a, a, a, shape, y);
        },
        64);
}

}  // namespace
}  // namespace lathe::kernels
