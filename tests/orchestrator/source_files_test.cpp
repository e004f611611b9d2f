// What a run remembers of the source model's files, and what it refuses.

#include "orchestrator/source_files.hpp"

#include <fstream>
#include <string>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class SourceFilesTest : public ::testing::Test {
protected:
    SourceFilesTest() {
        fs::remove_all(root);
        fs::create_directories(root / "run");
        fs::copy(fs::path(LATHE_SOURCE_DIR) / "tests/data/parity/llama", model);
    }
    ~SourceFilesTest() override { fs::remove_all(root); }

    SourceFiles check() {
        return SourceFiles::check(*SourceModel::open(model, {}), root / "run/sources.json", pool);
    }
    /// Writes a byte of the last tensor's values, far from headers; size stays.
    void change_byte(char value) const {
        std::fstream file(shard(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(-1001, std::ios::end);
        file.put(value);
    }
    [[nodiscard]] char byte() const {
        std::ifstream file(shard(), std::ios::binary);
        file.seekg(-1001, std::ios::end);
        return static_cast<char>(file.get());
    }
    [[nodiscard]] fs::path shard() const { return model / "model-00002-of-00002.safetensors"; }
    void expect_refused(const std::string& file, const std::string& how) {
        EXPECT_THAT([&] { check(); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr(file), HasSubstr(how))));
    }

    fs::path root = fs::temp_directory_path() / ("lathe_sources_" + std::to_string(::getpid()));
    fs::path model = root / "model";
    ThreadPool pool{2};
};

TEST_F(SourceFilesTest, WhatStaysIsTaken) {
    check();
    check();
    const std::string config = read_file(model / "config.json");
    write_file(model / "config.json", config);  // another file of the same content
    check();
}

TEST_F(SourceFilesTest, AnotherByteInTheMiddleOfAShardIsRefused) {
    check();
    change_byte(static_cast<char>(byte() ^ 1));
    expect_refused("model-00002-of-00002.safetensors", "has changed");
    change_byte(static_cast<char>(byte() ^ 1));
    check();
}

TEST_F(SourceFilesTest, TimesThatWerePutBackDoNotHideIt) {
    check();
    struct stat before {};
    ASSERT_EQ(::stat(shard().c_str(), &before), 0);
    change_byte(static_cast<char>(byte() ^ 1));
    const timespec times[2] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, shard().c_str(), times, 0), 0);
    expect_refused("model-00002-of-00002.safetensors", "has changed");
}

TEST_F(SourceFilesTest, AChangeDuringTheRunIsSeen) {
    const SourceFiles files = check();
    files.require_unchanged(pool);
    change_byte(static_cast<char>(byte() ^ 1));
    EXPECT_THAT([&] { files.require_unchanged(pool); },
                ThrowsMessage<DataError>(HasSubstr("model-00002-of-00002.safetensors")));
}

TEST_F(SourceFilesTest, ConfigurationAndSetOfFilesCount) {
    check();
    const std::string config = read_file(model / "config.json");
    write_file(model / "config.json", config + "\n");
    expect_refused("config.json", "has changed");
    write_file(model / "config.json", config);
    check();
    // The same tensors in one file more.
    fs::copy_file(shard(), model / "again.safetensors");
    std::string index = read_file(model / "model.safetensors.index.json");
    for (std::size_t at = index.find("model-00002"); at != std::string::npos;
         at = index.find("model-00002", at)) {
        index.replace(at, std::string("model-00002-of-00002").size(), "again");
    }
    write_file(model / "model.safetensors.index.json", index);
    expect_refused("model-00002-of-00002.safetensors", "is gone");
}

TEST_F(SourceFilesTest, ADamagedRecordIsNamed) {
    check();
    write_file(root / "run/sources.json", "{\"files\": [{\"name\": 3}]}");
    expect_refused("sources.json", "damaged");
}

}  // namespace
}  // namespace lathe
