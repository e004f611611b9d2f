#include "orchestrator/run_records.hpp"

#include "tests/fuzz/fuzzing.hpp"

// manifest.json and status.json of a run, whoever wrote them: what is taken from them is written
// and read back as the same.
LATHE_FUZZ_TARGET(run_records) {
    using namespace lathe;
    const auto file = fuzz::put("record.json", input);
    const RunStatus status = read_status_file(file);
    fuzz::require(status.tasks_done <= status.tasks_total && status.ranks >= 0,
                  "a status makes sense");
    fuzz::require(read_status_file(fuzz::put("status.json", to_json(status))) == status,
                  "a status reads back as the same");
    fuzz::refuse_or([&] {
        const RunManifest manifest = read_manifest(file);
        fuzz::require(read_manifest(fuzz::put("manifest.json", to_json(manifest))) == manifest,
                      "a manifest reads back as the same");
    });
}
