#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda_interface.hpp"
#include "kernels/cuda_plugin.hpp"
#include "lib/core/errors.hpp"

namespace lathe::kernels {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// What is said when the plug-in in this folder, one of the build's, is asked for device 7.
std::string refusal(const std::string& folder) {
    ::setenv("LATHE_PLUGIN_DIR", (LATHE_TEST_PLUGINS + ("/" + folder)).c_str(), 1);
    try {
        (void)open_cuda_backend(7);
    } catch (const UsageError& error) {
        return error.what();
    }
    ADD_FAILURE() << "a backend was opened";
    return "";
}

TEST(Plugin, OfAnotherBuildIsRefused) {
    EXPECT_THAT(refusal("other"), AllOf(HasSubstr("other/liblathe_cuda.so is of another build"),
                                        HasSubstr("its interface is 0123456789abcdef, expected "),
                                        HasSubstr(cuda_interface)));
}

TEST(Plugin, WithoutTheFunctionsIsRefused) {
    // As one of before there was a hash: it exports a number.
    EXPECT_THAT(refusal("older"), HasSubstr("has no function lathe_cuda_interface"));
}

TEST(Plugin, ThatIsAbsentIsMissed) {
    EXPECT_THAT(refusal("none"), HasSubstr("no " LATHE_TEST_PLUGINS "/none/liblathe_cuda.so"));
}

// Last: a plug-in that fits stays open.
TEST(PluginThatFits, IsAsked) {
    EXPECT_THAT(refusal("same"), HasSubstr("cannot be used: there is no device 7"));
}

}  // namespace
}  // namespace lathe::kernels
