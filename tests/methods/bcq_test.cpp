#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "tests/methods/method_fixture.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;

using Keys = std::vector<std::pair<std::string, std::vector<std::string>>>;

std::vector<Setting> settings_of(const Keys& keys) {
    return find_method("bcq", "").expand(entry("bcq", keys));
}

std::vector<UnitSolution> solve(const std::vector<Setting>& settings, const LinearUnit& unit,
                                std::size_t n_threads = 2) {
    const SomeBackend backend(n_threads);
    return find_method(settings.front().method, "")
        .solve(settings, unit.tensors(), unit.statistics(), backend.get());
}

const Keys all_solvers = {{"solver", {"greedy", "refined", "alternating", "gptq", "admm"}}};

TEST(BcqMethod, PredictsItsBytesForOddShapes) {
    const MethodRow& bcq = find_method("bcq", "");
    for (const std::size_t d : {1, 31, 64, 131}) {
        const LinearUnit unit(d, {3, 1});
        const std::vector<Setting> settings =
            settings_of({{"num_bits", {"1", "3", "4"}},
                         {"group_size", {"7", "64", "1000"}},
                         {"offset", {"true", "false"}},
                         {"solver", {"greedy", "alternating", "gptq", "admm"}}});
        ASSERT_EQ(settings.size(), 72U);
        const auto solutions = solve(settings, unit);
        for (std::size_t i = 0; i < settings.size(); ++i) {
            SCOPED_TRACE(to_string(settings[i]) + ", d = " + std::to_string(d));
            ASSERT_EQ(solutions[i].tensors.size(), 2U);
            for (const EncodedTensor& tensor : solutions[i].tensors) {
                EXPECT_NO_THROW(validate(tensor, "solution"));
                EXPECT_EQ(stored_bytes(tensor), bcq.bytes(settings[i], tensor.shape, DType::f32));
            }
        }
    }
}

TEST(BcqMethod, ReportsTheErrorOfWhatIsStored) {
    // 131 columns: the last group is short, and its size is not the mean of the groups'.
    const LinearUnit unit(131, {20, 5});
    for (const std::string offset : {"true", "false"}) {
        Keys keys = all_solvers;
        keys.push_back({"num_bits", {"1", "2", "4"}});
        keys.push_back({"group_size", {"100"}});
        keys.push_back({"offset", {offset}});
        const auto settings = settings_of(keys);
        const auto solutions = solve(settings, unit);
        for (std::size_t i = 0; i < settings.size(); ++i) {
            const double direct = unit.direct_error(solutions[i]);
            EXPECT_NEAR(solutions[i].error, direct, 1e-3 * direct) << to_string(settings[i]);
        }
    }
}

TEST(BcqMethod, EachSolverIsAtLeastAsGoodAsTheOneBefore) {
    const LinearUnit unit(192, {60});
    for (const std::string bits : {"2", "3", "4"}) {
        Keys keys = all_solvers;
        keys.push_back({"num_bits", {bits}});
        keys.push_back({"group_size", {"64"}});
        const auto solutions = solve(settings_of(keys), unit);
        EXPECT_LT(solutions[2].error, solutions[0].error) << bits;  // alternating, greedy
        EXPECT_LT(solutions[3].error, 0.9 * solutions[2].error) << bits;
        EXPECT_LT(solutions[4].error, 0.9 * solutions[3].error) << bits;
    }
}

TEST(BcqMethod, IsBelowGptqAndRoundingAtTheSameBytes) {
    // Groups of 64 q for q scales take what groups of 64 with one scale do.
    const LinearUnit unit(384, {96});
    for (const std::size_t bits : {2, 3}) {
        const auto binary = settings_of(
            {{"num_bits", {std::to_string(bits)}}, {"group_size", {std::to_string(64 * bits)}}});
        const auto integer = find_method("integer", "")
                                 .expand(entry("integer", {{"num_bits", {std::to_string(bits)}},
                                                           {"group_size", {"64"}},
                                                           {"solver", {"gptq", "rtn", "admm"}}}));
        const UnitSolution found = solve(binary, unit).front();
        const auto others = solve(integer, unit);
        EXPECT_EQ(stored_bytes(found.tensors[0]), stored_bytes(others[0].tensors[0]));
        for (const UnitSolution& other : others) {
            EXPECT_LT(found.error, other.error) << bits << " bits";
        }
    }
}

TEST(BcqMethod, ASettingAloneAndAmongOthersAndThreadsGiveTheSame) {
    const LinearUnit unit(96, {150});
    const auto settings = settings_of({{"num_bits", {"2", "3"}},
                                       {"solver", {"gptq", "admm"}},
                                       {"dampening_frac", {"0.01", "0.1"}}});
    const auto together = solve(settings, unit, 1);
    for (std::size_t i = 0; i < settings.size(); ++i) {
        const UnitSolution alone = solve({settings[i]}, unit, 3).front();
        EXPECT_EQ(content_hash(alone.tensors[0]), content_hash(together[i].tensors[0]))
            << to_string(settings[i]);
    }
}

TEST(BcqMethod, ATableOfEmbeddingsTakesFitsOnly) {
    const std::vector<float> table = test_data::layer_weights(12, 64, 5);
    const std::vector<float> use(12, 1.0F / 12.0F);
    const std::vector<UnitTensor> tensors{{{table.data(), 12, 64}, {12, 64}, DType::f32}};
    const SomeBackend backend(1);
    const MethodRow& bcq = find_method("bcq", "");
    const auto fitted =
        bcq.solve(settings_of({{"solver", {"alternating"}}}), tensors, {{}, use}, backend.get());
    EXPECT_GT(fitted.front().error, 0.0);
    UnitSpec unit;
    unit.name = "embedding";
    unit.input = Signal::token_ids;
    EXPECT_EQ(
        bcq.refuses(settings_of({{"solver", {"alternating"}}}).front(), unit, {12, 64}, DType::f32),
        "");
    EXPECT_THAT(bcq.refuses(settings_of({}).front(), unit, {12, 64}, DType::f32),
                HasSubstr("solver admm needs the Gram matrix"));
}

TEST(BcqMethod, KnowsItsKeys) {
    EXPECT_EQ(to_string(settings_of({}).front()),
              "bcq dampening_frac=0.01 group_size=128 num_bits=3 offset=false solver=admm");
    // What a solver does not look at does not make another setting.
    EXPECT_EQ(settings_of({{"solver", {"greedy"}}, {"dampening_frac", {"0.01", "0.2"}}}).size(),
              1U);
    EXPECT_THROW((void)settings_of({{"num_bits", {"5"}}}), UsageError);
}

}  // namespace
}  // namespace lathe
