#include "lib/checkpoint/artifact.hpp"
#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lathe::fuzz {
namespace {

void look_at(const ArtifactReader& file, const std::string& path, std::size_t& n_left) {
    refuse_or([&] { (void)file.attributes(path); });
    refuse_or([&] {
        if (!file.is_dataset(path)) return;
        (void)file.info(path);
        refuse_or([&] { (void)file.read(path, false); });
        refuse_or([&] { (void)file.read_integers(path); });
        refuse_or([&] { (void)file.read_floats(path); });
    });
    refuse_or([&] {
        for (const std::string& name : file.children(path)) {
            if (n_left == 0) return;
            --n_left;
            look_at(file, (path == "/" ? "" : path) + "/" + name, n_left);
        }
        (void)read_encoded(file, path, false);
    });
}

}  // namespace
}  // namespace lathe::fuzz

// An HDF5 file of anybody's.
LATHE_FUZZ_TARGET(hdf5_artifact) {
    using namespace lathe;
    fuzz::allow_memory();
    const auto path = fuzz::put("artifact.h5", input);
    fuzz::refuse_or([&] {
        const ArtifactReader file(path);
        std::size_t n_left = 32;
        fuzz::look_at(file, "/", n_left);
    });
}
