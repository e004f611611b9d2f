#include "tests/kernels/tested_variants.hpp"

#include <gtest/gtest.h>

#include "kernels/cpu/common/vector_kernels.hpp"

namespace lathe::kernels {

#ifdef LATHE_EMULATED_VARIANT
namespace avx512vbmi_emulated {
extern const VectorKernels table;
void multiply_blocks_by_tiles(const IntegerPanel& panel, std::int32_t* y, std::size_t y_stride);
}  // namespace avx512vbmi_emulated

namespace {
/// With the tiles of a processor that has those too.
const VectorKernels& with_emulated_tiles() {
    static const VectorKernels table = [] {
        VectorKernels own = avx512vbmi_emulated::table;
        own.name = "avx512amx_emulated";
        own.multiply_blocks = avx512vbmi_emulated::multiply_blocks_by_tiles;
        return own;
    }();
    return table;
}
}  // namespace
#endif

std::vector<const VectorKernels*> tested_variants() {
    std::vector<const VectorKernels*> variants(runnable_vector_kernels().begin(),
                                               runnable_vector_kernels().end());
#ifdef LATHE_EMULATED_VARIANT
    variants.push_back(&with_emulated_tiles());
    variants.push_back(&avx512vbmi_emulated::table);
#endif
    return variants;
}

namespace {

TEST(EmulatedVariant, IsAmongThoseTested) {
#ifdef LATHE_EMULATED_VARIANT
    EXPECT_STREQ(tested_variants().back()->name, "avx512vbmi_emulated");
#else
    GTEST_SKIP() << "SIMDe's headers were not found (Debian: libsimde-dev): instruction sets that "
                    "this processor lacks are not tested";
#endif
}

}  // namespace
}  // namespace lathe::kernels
