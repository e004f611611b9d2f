#include "lib/core/utf8.hpp"
#include "lib/dataset/glue.hpp"
#include "lib/dataset/glue_table.hpp"
#include "tests/fuzz/fuzzing.hpp"

// A TSV file of a task of GLUE, which the first byte chooses.
LATHE_FUZZ_TARGET(glue_tsv) {
    using namespace lathe;
    const auto tasks = glue_table();
    const auto& task = tasks[fuzz::take_byte(input) % tasks.size()];
    const auto file = fuzz::put("dev.tsv", input);
    fuzz::refuse_or([&] {
        for (const LabelledText& example : read_glue(file, task.name)) {
            fuzz::require(is_valid_utf8(example.first + example.second), "texts are UTF-8");
            fuzz::require(example.label == 0 || example.label < task.labels.size(),
                          "a label of the task");
            fuzz::require(example.score >= 0.0 && example.score <= 5.0, "a score from 0 to 5");
        }
    });
    fuzz::refuse_or([&] { (void)read_sentences(file); });
}
