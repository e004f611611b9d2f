#include "lib/core/dtype.hpp"
#include "lib/job/budget.hpp"
#include "lib/job/candidate.hpp"
#include "lib/job/kernel_times.hpp"
#include "tests/fuzz/fuzzing.hpp"

// Small texts of files and of the command line: settings, budgets, a table of kernel times.
LATHE_FUZZ_TARGET(settings) {
    using namespace lathe;
    const std::string text(input);
    fuzz::refuse_or([&] {
        const Setting setting = setting_from_string(text);
        fuzz::require(to_string(setting) == text, "a setting is written as it was read");
    });
    fuzz::refuse_or([&] {
        const Budget budget = parse_budget(text);
        fuzz::require(parse_budget(to_string(budget)) == budget, "a budget reads back as the same");
        (void)budget.limit_bytes(1'000'000'000'000, 1'000'000'000);
    });
    fuzz::refuse_or([&] { (void)dtype_from_name(text); });
    const auto file = fuzz::put("times.json", input);
    fuzz::refuse_or([&] {
        const KernelTimes times = KernelTimes::read(file);
        (void)times.to_json();
        (void)times.find(4, 4, {"dense", {}});
    });
}
