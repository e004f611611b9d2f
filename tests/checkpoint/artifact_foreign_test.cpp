// Files of other programs read by us, and ours read by h5py.

#include <array>
#include <cstdio>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class ForeignArtifact : public DirectoryTest {
protected:
    void SetUp() override {
        DirectoryTest::SetUp();
        if (run("import h5py").first != 0) {
            GTEST_SKIP() << "no python3 with h5py";
        }
    }
    /// Runs a Python script in this test's directory; its status and what it printed.
    std::pair<int, std::string> run(const std::string& script) const {
        std::ofstream(dir / "script.py") << script << '\n';
        const std::string command =
            "cd '" + dir.string() + "' && " LATHE_TEST_PYTHON " script.py 2>&1";
        std::FILE* pipe = popen(command.c_str(), "r");
        if (pipe == nullptr) {
            return {-1, ""};
        }
        std::string output;
        std::array<char, 4096> chunk{};
        while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
            output.append(chunk.data(), n);
        }
        return {pclose(pipe), output};
    }
};

TEST_F(ForeignArtifact, H5pyReadsOurs) {
    const std::vector<std::uint16_t> bits{0x3F80, 0xC000, 0x3C00, 0x0001};
    const auto* data = reinterpret_cast<const std::byte*>(bits.data());
    fs::create_directories(dir / "out/blocks");
    {
        ArtifactWriter block(dir / "out/blocks/0000.h5");
        block.dataset("/q/weight", DType::bf16, {2}, data);
        block.dataset("/q/scales", DType::f16, {2}, data + 4);
        block.commit();
        ArtifactWriter master(dir / "out/checkpoint.h5");
        master.group("/", {{"format_version", 1}, {"program", std::string("lathe")}});
        master.external_link("/blocks/0000", "blocks/0000.h5");
        master.commit();
    }
    const auto [status, output] = run(R"(
import h5py, numpy
with h5py.File('out/checkpoint.h5') as f:
    assert f.attrs['format_version'] == 1
    assert f.attrs['program'] == b'lathe', f.attrs['program']
    q = f['blocks/0000/q']
    w = q['weight']
    assert w.dtype == numpy.uint16 and w.attrs['dtype'] == b'bfloat16'
    assert list((w[:].astype(numpy.uint32) << 16).view(numpy.float32)) == [1.0, -2.0]
    assert q['scales'].dtype == numpy.float16
    assert list(q['scales'][:]) == [1.0, numpy.float16(2.0 ** -24)]
    assert len(w.attrs['hash']) == 16
)");
    EXPECT_EQ(status, 0) << output;
}

TEST_F(ForeignArtifact, WeReadWhatH5pyWrites) {
    const auto [status, output] = run(R"(
import h5py, numpy
with h5py.File('in.h5', 'w', libver='latest') as f:
    f['ids'] = numpy.array([[1, 2], [3, 4]], dtype=numpy.int64)
    f['mask'] = numpy.array([True, False])
    f['big_endian'] = numpy.array([1.5, -2.0], dtype='>f8')
    f['half'] = numpy.array([0.5, 2.0 ** -24], dtype=numpy.float16)
    f.create_dataset('packed', data=numpy.ones((1000, 100), dtype=numpy.float32), compression='gzip')
    f.create_dataset('huge', (1 << 40,), dtype=numpy.float32, chunks=(1024,))
    f['text'] = 'hello'
    f['compound'] = numpy.zeros(2, dtype=[('a', 'i4'), ('b', 'f4')])
    f['null'] = h5py.Empty('f4')
    f['soft'] = h5py.SoftLink('/ids')
    f['dangling'] = h5py.SoftLink('/nowhere')
    f.attrs['text'] = numpy.bytes_('grün'.encode())
    f.attrs['variable_text'] = 'left out'
    f.attrs['flag'] = True
    f.attrs['number'] = numpy.int32(7)
    f.attrs['real'] = numpy.float32(0.5)
    f.attrs['list'] = [1, 2, 3]
    f.attrs['empty'] = h5py.Empty('f4')
)");
    ASSERT_EQ(status, 0) << output;
    const ArtifactReader file(dir / "in.h5");
    EXPECT_THAT(file.read_integers("/ids"), ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(file.read_integers("/soft"), ElementsAre(1, 2, 3, 4));
    EXPECT_EQ(file.info("/ids").shape, (Shape{2, 2}));
    EXPECT_EQ(file.info("/ids").dtype, DType::i64);
    EXPECT_EQ(file.info("/mask").dtype, DType::boolean);
    EXPECT_THAT(file.read_integers("/mask"), ElementsAre(1, 0));
    EXPECT_THAT(file.read_floats("/mask"), ElementsAre(1.0F, 0.0F));
    EXPECT_THAT(file.read_floats("/big_endian"), ElementsAre(1.5F, -2.0F));
    EXPECT_THAT(file.read_floats("/half"), ElementsAre(0.5F, 0x1p-24F));
    EXPECT_THAT(file.read_floats("/packed"), ::testing::Each(1.0F));
    EXPECT_EQ(
        file.attributes("/"),
        (Attributes{{"text", std::string("grün")}, {"flag", 1}, {"number", 7}, {"real", 0.5}}));
    const auto refused = [&](const std::string& path, const char* text) {
        EXPECT_THAT([&] { (void)file.read_floats(path); },
                    ThrowsMessage<DataError>(AllOf(HasSubstr(path), HasSubstr(text))));
    };
    refused("/huge", "more than its file of");
    refused("/text", "holds no numbers");
    refused("/compound", "holds no numbers");
    refused("/null", "without a shape");
    refused("/dangling", "is not there");
    EXPECT_THAT([&] { (void)file.read("/ids"); },
                ThrowsMessage<DataError>(HasSubstr("/ids has no attribute 'hash'")));
    EXPECT_EQ(file.read("/ids", false).size(), 32U);
    for (const char* path : {"/text", "/compound"}) {
        EXPECT_THAT([&] { (void)file.read(path, false); },
                    ThrowsMessage<DataError>(HasSubstr("does not know")));
    }
    EXPECT_THAT([&] { (void)file.info("/big_endian"); },
                ThrowsMessage<DataError>(HasSubstr("expected little-endian")));
}

// A fuzzer damaged such an attribute, and HDF5 1.10.8 read beyond the header: nothing tells it that
// the header is damaged. Of no file of ours.
TEST_F(ForeignArtifact, AttributesOfAHeaderWithoutAChecksumAreLeftOut) {
    const auto [status, output] = run(R"(
import h5py
for libver in 'earliest', 'latest':
    with h5py.File(libver + '.h5', 'w', libver=libver) as f:
        f['ids'] = [1, 2]
        f['ids'].attrs['number'] = 7
)");
    ASSERT_EQ(status, 0) << output;
    const ArtifactReader earliest(dir / "earliest.h5");
    EXPECT_TRUE(earliest.attributes("/ids").empty());
    EXPECT_THAT(earliest.read_integers("/ids"), ElementsAre(1, 2));
    EXPECT_EQ(ArtifactReader(dir / "latest.h5").attributes("/ids"), (Attributes{{"number", 7}}));
}

TEST_F(ForeignArtifact, LinksOutsideTheLibraryWork) {
    const auto [status, output] = run(R"(
import h5py, os
os.makedirs('deep/er', exist_ok=True)
with h5py.File('deep/er/target.h5', 'w') as f:
    f['group/ids'] = [1, 2, 3]
with h5py.File('in.h5', 'w') as f:
    f['a/direct'] = h5py.ExternalLink('deep/er/target.h5', '/group/ids')
    f['a/group'] = h5py.ExternalLink('deep/er/target.h5', 'group')
)");
    ASSERT_EQ(status, 0) << output;
    const ArtifactReader file(dir / "in.h5");
    EXPECT_THAT(file.read_integers("/a/direct"), ElementsAre(1, 2, 3));
    EXPECT_THAT(file.read_integers("/a/group/ids"), ElementsAre(1, 2, 3));
}

// Whoever made a file must not choose which other files are read, or made part of a result.
TEST_F(ForeignArtifact, WhatLeadsOutOfTheDirectoryIsRefusedByName) {
    const auto [status, output] = run(R"(
import h5py, numpy, os
os.makedirs('in/below', exist_ok=True)
with h5py.File('secret.h5', 'w') as f:
    f['ids'] = [7, 7, 7]
open('secret.bin', 'wb').write(b'\x07' * 64)
with h5py.File('in/below/soft.h5', 'w') as f:
    f['ids'] = [1, 2, 3]
    f['soft'] = h5py.SoftLink('/ids')
    f['out'] = h5py.ExternalLink('../../secret.h5', '/ids')
with h5py.File('in/main.h5', 'w') as f:
    f['up'] = h5py.ExternalLink('../secret.h5', '/ids')
    f['hidden_up'] = h5py.ExternalLink('below/../../secret.h5', '/ids')
    f['absolute'] = h5py.ExternalLink(os.path.abspath('secret.h5'), '/ids')
    f['below'] = h5py.ExternalLink('below/soft.h5', '/')
    f['soft_to_link'] = h5py.SoftLink('/below/ids')
    f['soft_to_up'] = h5py.SoftLink('up')
    f['group/relative'] = h5py.SoftLink('numbers')
    f['group/numbers'] = [4, 5]
    space = h5py.h5s.create_simple((8,))
    stored = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    stored.set_external(b'../secret.bin', 0, 64)
    h5py.h5d.create(f.id, b'external', h5py.h5t.NATIVE_INT64, space, stored)
    layout = h5py.VirtualLayout((3,), dtype='i8')
    layout[:] = h5py.VirtualSource('../secret.h5', 'ids', (3,))
    f.create_virtual_dataset('virtual', layout)
)");
    ASSERT_EQ(status, 0) << output;
    const ArtifactReader file(dir / "in/main.h5");
    EXPECT_THAT(file.read_integers("/below/ids"), ElementsAre(1, 2, 3));
    EXPECT_THAT(file.read_integers("/group/relative"), ElementsAre(4, 5));
    const std::vector<std::array<const char*, 3>> refused{
        {"/up", "'up'", "'../secret.h5'"},
        {"/hidden_up", "'hidden_up'", "'below/../../secret.h5'"},
        {"/absolute", "'absolute'", "expected one in the same directory or below"},
        {"/below/out", "'out'", "'../../secret.h5'"},
        {"/below/soft", "'soft'", "soft link in another file"},
        {"/soft_to_link", "'below'", "behind a soft link"},
        {"/soft_to_up", "'up'", "behind a soft link"},
        {"/external", "/external", "'../secret.bin'"},
        {"/virtual", "/virtual", "virtual dataset"}};
    for (const auto& [path, name, reason] : refused) {
        const char* const object = path;
        EXPECT_THAT([&] { (void)file.read_integers(object); },
                    ThrowsMessage<DataError>(
                        AllOf(HasSubstr("in/main.h5"), HasSubstr(name), HasSubstr(reason))))
            << path;
        EXPECT_THROW((void)file.read(path, false), DataError) << path;
        EXPECT_THROW((void)file.info(path), DataError) << path;
    }
}

TEST(SharedArtifact, AReferenceOfH5pyIsRead) {
    const fs::path path = fs::path(LATHE_SHARED_DIR) / "models/parity/llama/reference.h5";
    if (!fs::exists(path)) {
        GTEST_SKIP() << "no file " << path;
    }
    const ArtifactReader file(path);
    const std::vector<std::int64_t> ids = file.read_integers("/input_ids");
    const std::vector<float> logits = file.read_floats("/logits");
    const Shape shape = file.info("/logits").shape;
    ASSERT_EQ(shape.size(), 3U);
    EXPECT_EQ(ids.size(), shape[0] * shape[1]);
    EXPECT_EQ(logits.size(), ids.size() * shape[2]);
    for (const std::int64_t id : ids) {
        EXPECT_GE(id, 0);
        EXPECT_LT(id, static_cast<std::int64_t>(shape[2]));
    }
}

}  // namespace
}  // namespace lathe
