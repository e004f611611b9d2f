// What a run remembers of the source model's files, and what it refuses.

#include "orchestrator/source_files.hpp"

#include <fstream>
#include <string>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class SourceFilesTest : public DirectoryTest {
protected:
    void SetUp() override {
        DirectoryTest::SetUp();
        fs::create_directories(dir / "run");
        fs::copy(fs::path(LATHE_SOURCE_DIR) / "tests/data/parity/llama", model);
    }

    SourceFiles check() {
        SourceFiles files =
            SourceFiles::compare(*SourceModel::open(model, {}), dir / "run/sources.json", pool);
        files.write_record();
        return files;
    }
    /// Writes a byte of the last tensor's values, far from headers; size stays.
    void change_byte(char value) const { poke(shard(), fs::file_size(shard()) - 1001, value); }
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

    fs::path model = dir / "model";
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
    write_file(dir / "run/sources.json", "{\"files\": [{\"name\": 3}]}");
    expect_refused("sources.json", "damaged");
}

}  // namespace
}  // namespace lathe
