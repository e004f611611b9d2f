#include "orchestrator/source_files.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace {

/// A model directory with one tensor.
std::filesystem::path make_model_directory() {
    const auto folder = lathe::fuzz::scratch() / "source";
    std::filesystem::create_directory(folder);
    lathe::fuzz::put("source/model.safetensors", lathe::fuzz::small_safetensors("a"));
    lathe::fuzz::put("source/config.json", "{}");
    return folder;
}

}  // namespace

// sources.json of a run: what it knows of the files of the source model.
LATHE_FUZZ_TARGET(source_record) {
    using namespace lathe;
    static const std::filesystem::path directory = make_model_directory();
    static const SourceModel model{
        {directory, {}, {}, {}}, SafetensorsCheckpoint(directory), {}, {}};
    static ThreadPool pool(1);
    const auto record = fuzz::put("sources.json", input);
    fuzz::refuse_or([&] { (void)SourceFiles::compare(model, record, pool); });
}
