#include "orchestrator/run_records.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

class RunRecords : public ::testing::Test {
protected:
    RunStatus status_of(const std::string& text) const {
        write_file(file_, text);
        return read_status_file(file_);
    }
    RunManifest manifest_of(const std::string& text) const {
        write_file(file_, text);
        return read_manifest(file_);
    }

    void TearDown() override { std::filesystem::remove(file_); }

    std::filesystem::path file_ = std::filesystem::path(::testing::TempDir()) /
                                  ("lathe_record_" + std::to_string(::getpid()) + ".json");
};

TEST_F(RunRecords, AreReadAsTheyWereWritten) {
    const RunStatus status{
        "running", "compress", 3, 9, 12.5, 4, "compress/unit 40 % on rank 1 for 2.0 s"};
    EXPECT_EQ(status_of(to_json(status)), status);
    RunStatus later = status;
    later.running = {{"compress/unit", 1, 2.0, 0.4, 1000}, {"compress/other", 0, 1.0}};
    later.written = 1.8e9;
    EXPECT_EQ(status_of(to_json(later)), later);
    const RunManifest manifest{"m", "s", "1.2", "avx2"};
    EXPECT_EQ(manifest_of(to_json(manifest)), manifest);
}

TEST_F(RunRecords, TasksAtWorkAreThoseOfARunThatDidNotEnd) {
    RunStatus status;
    status.status = "running";
    status.stage = "compress";
    status.running = {{"compress/unit", 1, 2.0, 0.4, 1000}};
    EXPECT_TRUE(tasks_at_work(status, "").empty()) << "nobody knows when";
    status.written = 1.8e9;
    const UnfinishedTask expected{"compress/unit", "compress", 1, 1.8e9, 2.0, "killed"};
    EXPECT_EQ(tasks_at_work(status, "killed"), std::vector{expected});
    status.status = "stopped";
    EXPECT_TRUE(tasks_at_work(status, "killed").empty());
}

TEST_F(RunRecords, AStatusThatMakesNoSenseIsNotSaid) {
    EXPECT_EQ(read_status_file(file_), RunStatus());
    for (const char* text :
         {"", "{", "[]", "7", R"({"tasks_done": "x", "tasks_total": -1, "ranks": 1e9})",
          R"({"stage": 1, "status": null, "eta_seconds": "soon", "ranks": 4294967297})",
          R"({"eta_seconds": 1e300, "tasks_done": 1.5, "written": -1})",
          R"({"eta_seconds": -1})"}) {
        EXPECT_EQ(status_of(text), RunStatus()) << text;
    }
    // More done than there are.
    EXPECT_EQ(status_of(R"({"tasks_done": 9, "tasks_total": 3})").tasks_done, 3U);
}

TEST_F(RunRecords, AManifestWithoutFingerprintsIsDamaged) {
    for (const char* text : {"", "{", "[]", R"({"model_fingerprint": "m"})",
                             R"({"model_fingerprint": 1, "samples_fingerprint": "s"})"}) {
        EXPECT_THROW(static_cast<void>(manifest_of(text)), DataError) << text;
    }
    // Of a version that wrote no more, or something else.
    const RunManifest old = manifest_of(
        R"({"model_fingerprint": "m", "samples_fingerprint": "s", "program_version": 3})");
    EXPECT_EQ(old, (RunManifest{"m", "s", "", ""}));
}

}  // namespace
}  // namespace lathe
