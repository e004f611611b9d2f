#include "lib/dataset/multiple_choice.hpp"
#include "tests/fuzz/fuzzing.hpp"

// A JSON Lines file of a multiple-choice task, which the first byte chooses.
LATHE_FUZZ_TARGET(choice_jsonl) {
    using namespace lathe;
    const auto tasks = choice_table();
    const auto task = tasks[fuzz::take_byte(input) % tasks.size()].name;
    const auto file = fuzz::put("valid.jsonl", input);
    fuzz::refuse_or([&] {
        for (const ChoiceExample& example : read_multiple_choice(file, task)) {
            fuzz::require(example.contexts.size() == example.continuations.size() &&
                              example.contexts.size() == example.lengths.size() &&
                              example.contexts.size() >= 2,
                          "one entry an option");
            fuzz::require(example.answer < example.contexts.size(), "the answer is an option");
        }
    });
}
