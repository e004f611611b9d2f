#include "lib/job/kernel_times.hpp"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class KernelTimesFile : public ::testing::Test {
protected:
    std::filesystem::path write(const std::string& text) {
        const auto file = std::filesystem::path(::testing::TempDir()) /
                          (std::to_string(::getpid()) + "_times.json");
        std::ofstream(file) << text;
        return file;
    }
};

const Setting int4_64 = setting_from_string("integer group_size=64 num_bits=4 solver=gptq");
const Setting int4_32 = setting_from_string("integer group_size=32 num_bits=4 solver=gptq");

TEST_F(KernelTimesFile, TheEntryThatNamesMostValuesStands) {
    const KernelTimes times = KernelTimes::read(write(R"({"tokens": 8, "kernels": [
        {"rows": 3, "cols": 5, "setting": "integer", "microseconds": 40},
        {"rows": 3, "cols": 5, "setting": "integer group_size=32 num_bits=4", "microseconds": 30.5},
        {"rows": 3, "cols": 5, "setting": "integer num_bits=4", "microseconds": 20},
        {"rows": 3, "cols": 5, "setting": "integer num_bits=4", "microseconds": 10}]})"));
    EXPECT_EQ(times.tokens(), 8U);
    EXPECT_DOUBLE_EQ(times.seconds(3, 5, int4_32), 30.5e-6);
    EXPECT_DOUBLE_EQ(times.seconds(3, 5, int4_64), 20e-6);
    EXPECT_DOUBLE_EQ(times.seconds(3, 5, setting_from_string("integer num_bits=3")), 40e-6);
    EXPECT_FALSE(times.find(5, 3, int4_64));
    EXPECT_FALSE(times.find(3, 5, setting_from_string("dense")));
    EXPECT_THAT([&] { (void)times.seconds(5, 3, int4_64); },
                ThrowsMessage<DataError>(HasSubstr(
                    "no entry for a weight [5, 3] under 'integer group_size=64 num_bits=4")));
}

TEST_F(KernelTimesFile, IsReadBackAsWritten) {
    KernelTimes times(4);
    times.add({16, 8, int4_64, 3.25});
    times.add({16, 8, setting_from_string("dense"), 1e3});
    const KernelTimes again = KernelTimes::read(write(times.to_json()));
    EXPECT_EQ(again.tokens(), 4U);
    EXPECT_NEAR(again.seconds(16, 8, int4_64), 3.25e-6, 1e-18);
    EXPECT_NEAR(again.seconds(16, 8, setting_from_string("dense")), 1e-3, 1e-15);
}

TEST_F(KernelTimesFile, ABadFileIsRefusedWithItsPlace) {
    const auto refusal = [&](const std::string& text, const std::string& words) {
        const auto file = write(text);
        EXPECT_THAT([&] { (void)KernelTimes::read(file); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr(file.string()), HasSubstr(words))))
            << text;
    };
    const auto with = [](const std::string& entry) {
        return R"({"tokens": 1, "kernels": [)" + entry + "]}";
    };
    refusal("{\"tokens\": 1", "not JSON");
    refusal("[]", "expected {tokens, kernels: [...]}");
    refusal(R"({"kernels": []})", "tokens is missing; expected a whole number above 0");
    refusal(R"({"tokens": 0, "kernels": []})", "tokens is 0");
    refusal(R"({"tokens": 1, "kernels": {}})", "kernels is {}; expected a list");
    refusal(with("3"), "kernels[0]: expected {rows, cols, setting, microseconds}");
    refusal(with(R"({"rows": 1.5, "cols": 1, "setting": "dense", "microseconds": 1})"),
            "kernels[0]: rows is 1.5");
    refusal(with(R"({"rows": 1, "cols": 1, "setting": "integer bits", "microseconds": 1})"),
            "kernels[0]: ");
    refusal(with(R"({"rows": 1, "cols": 1, "setting": "dense", "microseconds": -1})"),
            "kernels[0]: microseconds is -1; expected a number above 0");
    EXPECT_THAT([&] { (void)KernelTimes::read("none.json"); },
                ThrowsMessage<MissingInputError>(HasSubstr("none.json")));
}

}  // namespace
}  // namespace lathe
