#include "orchestrator/damaged_artifacts.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DamagedArtifacts : public ::testing::Test {
protected:
    void SetUp() override {
        fs::remove_all(run_.root());
        for (const char* folder : {"calibration", "candidates"}) {
            make_directories(run_.root() / folder);
        }
        for (const fs::path& file : {sound_, other_}) {
            ArtifactWriter writer(file);
            writer.group("/", {{"fingerprint", "0123456789abcdef"}});
            const std::vector<float> values(1000, 1.5F);
            writer.dataset("/a/values", DType::f32, {values.size()},
                           reinterpret_cast<const std::byte*>(values.data()));
            writer.commit();
        }
    }
    void TearDown() override { fs::remove_all(run_.root()); }

    static void flip_bit(const fs::path& file, std::size_t byte, int bit) {
        std::string content = read_file(file);
        content.at(byte) = static_cast<char>(content.at(byte) ^ (1 << bit));
        std::ofstream(file, std::ios::binary) << content;
    }

    RunDirectory run_{fs::path(::testing::TempDir()) / "lathe_damaged"};
    fs::path sound_ = run_.root() / "calibration/block_0000.h5";
    fs::path other_ = run_.root() / "candidates/unit.h5";
};

TEST_F(DamagedArtifacts, SoundOnesStay) {
    EXPECT_THAT(put_damaged_aside(run_), IsEmpty());
    EXPECT_TRUE(fs::exists(sound_) && fs::exists(other_));
}

TEST_F(DamagedArtifacts, ATruncatedOneIsPutAside) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{100}, fs::file_size(other_) - 1}) {
        SetUp();
        fs::resize_file(other_, size);
        EXPECT_THAT(put_damaged_aside(run_), ElementsAre(other_)) << size;
        EXPECT_FALSE(fs::exists(other_));
        EXPECT_TRUE(fs::exists(run_.root() / "damaged/candidates/unit.h5.damaged"));
        EXPECT_TRUE(fs::exists(sound_));
    }
}

TEST_F(DamagedArtifacts, OneWithAFlippedBitIsPutAsideOrReadsTheSame) {
    // Every byte in turn. HDF5 leaves some bytes unused: a flip there does no harm.
    const std::string whole = read_file(sound_);
    std::size_t n_found = 0;
    for (std::size_t byte = 0; byte < whole.size(); ++byte) {
        std::ofstream(other_, std::ios::binary) << whole;
        flip_bit(other_, byte, static_cast<int>(byte % 8));
        if (!put_damaged_aside(run_).empty()) {
            ++n_found;
            continue;
        }
        const ArtifactReader artifact(other_);
        EXPECT_EQ(std::get<std::string>(artifact.attributes("/").at("fingerprint")),
                  "0123456789abcdef")
            << byte;
        EXPECT_EQ(artifact.children("/"), std::vector<std::string>{"a"}) << byte;
    }
    // 4000 bytes of values alone.
    EXPECT_GE(n_found, 4000U);
}

TEST_F(DamagedArtifacts, BadDataOfTheRunAsksForAnotherRun) {
    flip_bit(other_, fs::file_size(other_) / 2, 3);
    try {
        work_on_artifacts(run_, [] { throw DataError("values are odd"); });
        FAIL();
    } catch (const StoppedError& error) {
        EXPECT_THAT(error.what(), HasSubstr("values are odd"));
        EXPECT_THAT(error.what(), HasSubstr("candidates/unit.h5"));
    }
}

TEST_F(DamagedArtifacts, BadDataOfTheUserStaysAnError) {
    EXPECT_THROW(work_on_artifacts(run_, [] { throw DataError("the text is odd"); }), DataError);
    flip_bit(other_, fs::file_size(other_) / 2, 3);
    EXPECT_THROW(work_on_artifacts(run_, [] { throw IoError("full"); }), IoError);
    EXPECT_TRUE(fs::exists(other_)) << "nobody looked";
    int n_calls = 0;
    work_on_artifacts(run_, [&] { ++n_calls; });
    EXPECT_EQ(n_calls, 1);
}

}  // namespace
}  // namespace lathe
