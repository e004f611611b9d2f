#include "workers/checkpoint/verification.hpp"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

// The list of files comes with a checkpoint from elsewhere: a name that leads out of it is damage,
// however right its size and hash are, and the file behind it is not read.
TEST(Verification, NamesThatLeadOutOfTheCheckpointAreDamage) {
    const fs::path root =
        fs::temp_directory_path() / ("lathe_verification_" + std::to_string(::getpid()));
    const fs::path checkpoint = root / "checkpoint";
    make_directories(checkpoint);
    write_file(root / "secret", "content");
    write_file(checkpoint / "secret", "content");
    write_file(checkpoint / "checkpoint.h5", "no HDF5 file");
    const auto corrupt = [&](const std::string& name) {
        const nlohmann::json files{{name, {{"size", 7}, {"hash", to_hex(hash_text("content"))}}}};
        const nlohmann::json index{{"files", files}, {"hash", to_hex(hash_text(files.dump()))}};
        write_file(checkpoint / "index.json", index.dump(1));
        return verify_checkpoint(checkpoint).corrupt;
    };
    EXPECT_THAT(corrupt("secret"), ElementsAre("checkpoint.h5"));  // the list itself is sound
    for (const std::string& name : {std::string("../secret"), (root / "secret").string(),
                                    std::string("a/../../secret"), std::string()}) {
        EXPECT_THAT(corrupt(name), ElementsAre("index.json")) << name;
    }
    fs::remove_all(root);
}

}  // namespace
}  // namespace lathe
