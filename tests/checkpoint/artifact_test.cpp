#include "lib/checkpoint/artifact.hpp"

#include <cstring>
#include <limits>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "tests/checkpoint/test_directory.hpp"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

std::vector<std::byte> some_bytes(std::size_t n) {
    std::vector<std::byte> bytes(n);
    for (std::size_t i = 0; i < n; ++i) {
        bytes[i] = static_cast<std::byte>(i * 37 + 5);
    }
    return bytes;
}

class ArtifactTest : public DirectoryTest {
protected:
    const std::vector<std::byte> data = some_bytes(48);

    void write_example(const fs::path& path) const {
        ArtifactWriter file(path);
        file.group("/", {{"format_version", 1}, {"program", std::string("lathe")}});
        file.group("/blocks/0", {{"error", 0.5}, {"name", std::string("größe")}});
        file.dataset("/blocks/0/codes", DType::u32, {3, 4}, data.data(), {{"num_bits", 3}});
        file.dataset("/blocks/0/weight", DType::bf16, {2, 12}, data.data());
        file.external_link("/blocks/1", "blocks/0001.h5");
        file.commit();
    }
    std::uintmax_t size_of(const std::function<void(ArtifactWriter&)>& fill) const {
        ArtifactWriter file(dir / "size.h5");
        fill(file);
        file.commit();
        return fs::file_size(dir / "size.h5");
    }
};

TEST_F(ArtifactTest, EveryTypeComesBackAndKeepsItsName) {
    const std::vector<DType> dtypes{DType::f64, DType::f32, DType::f16,    DType::bf16, DType::i64,
                                    DType::i32, DType::i16, DType::i8,     DType::u64,  DType::u32,
                                    DType::u16, DType::u8,  DType::boolean};
    {
        ArtifactWriter file(dir / "a.h5");
        for (const DType dtype : dtypes) {
            file.dataset("/" + std::string(name(dtype)), dtype, {2, 48 / 2 / size_bytes(dtype)},
                         data.data());
        }
        file.commit();
    }
    const ArtifactReader file(dir / "a.h5");
    EXPECT_EQ(file.children("/").size(), dtypes.size());
    for (const DType dtype : dtypes) {
        const std::string path = "/" + std::string(name(dtype));
        const DatasetInfo info = file.info(path);
        EXPECT_EQ(info.dtype, dtype);
        EXPECT_EQ(info.shape, (Shape{2, 48 / 2 / size_bytes(dtype)}));
        EXPECT_EQ(std::get<std::string>(info.attributes.at("dtype")), name(dtype));
        EXPECT_EQ(std::get<std::string>(info.attributes.at("hash")).size(), 16U);
        EXPECT_EQ(file.read(path), data) << path;
    }
}

TEST_F(ArtifactTest, GroupsAttributesAndNames) {
    write_example(dir / "a.h5");
    const ArtifactReader file(dir / "a.h5");
    EXPECT_EQ(file.path(), dir / "a.h5");
    EXPECT_THAT(file.children("/"), ElementsAre("blocks"));
    EXPECT_THAT(file.children("/blocks"), ElementsAre("0", "1"));
    EXPECT_THAT(file.children("/blocks/0"), ElementsAre("codes", "weight"));
    EXPECT_TRUE(file.has("/"));
    EXPECT_TRUE(file.has("/blocks/0/codes"));
    EXPECT_FALSE(file.has("/blocks/2"));
    EXPECT_FALSE(file.has("/blocks/0/codes/deeper"));
    EXPECT_TRUE(file.is_dataset("/blocks/0/codes"));
    EXPECT_FALSE(file.is_dataset("/blocks/0"));
    EXPECT_EQ(file.attributes("/"),
              (Attributes{{"format_version", 1}, {"program", std::string("lathe")}}));
    EXPECT_EQ(file.attributes("/blocks/0"),
              (Attributes{{"error", 0.5}, {"name", std::string("größe")}}));
    EXPECT_EQ(integer_attribute(file.info("/blocks/0/codes").attributes, "num_bits", "x"), 3);
}

TEST_F(ArtifactTest, AttributesOfAllSizes) {
    Attributes attributes{{"empty", std::string()},
                          {"long", std::string(100'000, 'x')},  // more than a header can hold
                          {"least", std::numeric_limits<std::int64_t>::min()},
                          {"tiny", 5e-324}};
    for (int i = 0; i < 30; ++i) {
        attributes["key" + std::to_string(i)] = std::int64_t{i};
    }
    {
        ArtifactWriter file(dir / "a.h5");
        file.group("/g", {{"tiny", 1}, {"kept", 2}});
        file.group("/g", attributes);  // replaces, adds, and leaves others
        file.commit();
    }
    attributes["kept"] = std::int64_t{2};
    EXPECT_EQ(ArtifactReader(dir / "a.h5").attributes("/g"), attributes);
}

TEST_F(ArtifactTest, TypedAttributes) {
    const Attributes attributes{{"i", 7}, {"r", 0.5}, {"t", std::string("text")}};
    EXPECT_EQ(integer_attribute(attributes, "i", "a.h5"), 7);
    EXPECT_EQ(real_attribute(attributes, "r", "a.h5"), 0.5);
    EXPECT_EQ(text_attribute(attributes, "t", "a.h5"), "text");
    EXPECT_THAT([&] { (void)integer_attribute(attributes, "n", "a.h5: /g"); },
                ThrowsMessage<DataError>("a.h5: /g has no attribute 'n', expected an integer"));
    EXPECT_THAT([&] { (void)real_attribute(attributes, "i", "a.h5: /g"); },
                ThrowsMessage<DataError>("a.h5: /g: attribute 'i' is not a real number"));
    EXPECT_THAT([&] { (void)text_attribute(attributes, "i", "a.h5: /g"); },
                ThrowsMessage<DataError>("a.h5: /g: attribute 'i' is not a text of fixed length"));
}

// They lie in a heap of the file, in which HDF5 may go round without end.
TEST_F(ArtifactTest, TextsOfVariableLengthAreLeftOut) {
    const ArtifactReader file(fs::path(LATHE_SOURCE_DIR) /
                              "tests/fuzz/corpus/hdf5_artifact/latest");
    EXPECT_EQ(file.attributes("/"),
              (Attributes{{"version", std::int64_t{1}}, {"x", 0.5}}));  // not "s"
}

TEST_F(ArtifactTest, ScalarsAndEmptyDatasets) {
    {
        ArtifactWriter file(dir / "a.h5");
        file.dataset("/scalar", DType::f32, {}, data.data());
        file.dataset("/empty", DType::u8, {0, 7}, nullptr);
        file.commit();
    }
    const ArtifactReader file(dir / "a.h5");
    EXPECT_EQ(file.info("/scalar").shape, Shape{});
    EXPECT_EQ(file.read("/scalar"), some_bytes(4));
    EXPECT_EQ(file.info("/empty").shape, (Shape{0, 7}));
    EXPECT_THAT(file.read("/empty"), IsEmpty());
    EXPECT_THAT(file.read_integers("/empty"), IsEmpty());
}

TEST_F(ArtifactTest, EqualContentMakesEqualBytes) {
    write_example(dir / "a.h5");
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // a stored time would differ
    write_example(dir / "b.h5");
    EXPECT_EQ(read_file(dir / "a.h5"), read_file(dir / "b.h5"));
}

TEST_F(ArtifactTest, TheContainerCostsLittle) {
    // Measured with HDF5 1.10.8 and rounded up; the header states these limits.
    const auto file = size_of([](ArtifactWriter&) {});
    EXPECT_LE(file, 170U);
    const auto groups = size_of([](ArtifactWriter& f) {
        for (int i = 0; i < 100; ++i) {
            f.group("/group_" + std::to_string(i), {});
        }
    });
    EXPECT_LE((groups - file) / 100, 180U);
    const auto datasets = size_of([&](ArtifactWriter& f) {
        for (int i = 0; i < 100; ++i) {
            f.dataset("/codes_" + std::to_string(i), DType::u32, {3, 4}, data.data());
        }
    });
    EXPECT_LE((datasets - file) / 100 - 48, 290U);
    const auto more = size_of([&](ArtifactWriter& f) {
        for (int i = 0; i < 100; ++i) {
            f.dataset("/codes_" + std::to_string(i), DType::u32, {3, 4}, data.data(),
                      {{"num_bits", 3}});
        }
    });
    EXPECT_LE((more - datasets) / 100, 50U);
}

TEST_F(ArtifactTest, NothingAppearsBeforeCommit) {
    {
        ArtifactWriter file(dir / "a.h5");
        file.dataset("/x", DType::u8, {48}, data.data());
    }
    EXPECT_TRUE(fs::is_empty(dir));
    write_example(dir / "a.h5");
    const std::string before = read_file(dir / "a.h5");
    {
        ArtifactWriter file(dir / "a.h5");
        file.dataset("/x", DType::u8, {48}, data.data());
    }
    EXPECT_EQ(read_file(dir / "a.h5"), before);
}

TEST_F(ArtifactTest, WrongUseIsABug) {
    ArtifactWriter file(dir / "a.h5");
    const auto refused = [](const std::function<void()>& use, const char* text) {
        EXPECT_THAT(use, ThrowsMessage<InternalError>(HasSubstr(text)));
    };
    file.dataset("/x", DType::u8, {48}, data.data());
    refused([&] { file.dataset("/x", DType::u8, {48}, data.data()); }, "/x is written twice");
    refused([&] { file.dataset("x", DType::u8, {1}, data.data()); }, "not an absolute path");
    refused([&] { file.group("/a//b", {}); }, "not an absolute path");
    refused([&] { file.group("/g", {{"t", std::string("a\0b", 3)}}); }, "a zero byte");
    refused([&] { file.external_link("/l", "/abs/file.h5"); }, "must be relative");
    refused([&] { file.dataset("/y", DType::u8, Shape(33, 1), data.data()); }, "at most 32");
    file.commit();
    refused([&] { file.group("/z", {}); }, "after commit()");
    refused([&] { file.commit(); }, "after commit()");
}

TEST_F(ArtifactTest, AFileThatCannotBeWrittenIsAnIoError) {
    write_file(dir / "plain", "");
    EXPECT_THAT([&] { ArtifactWriter{dir / "plain" / "a.h5"}; },
                ThrowsMessage<IoError>(AllOf(HasSubstr("plain/a.h5"), HasSubstr("directory"))));
    EXPECT_THROW(ArtifactWriter{dir / "none" / "a.h5"}, IoError);
}

TEST_F(ArtifactTest, AFullDiskIsAnIoErrorWithItsReason) {
    const std::vector<std::byte> large(1 << 20);
    const auto write = [&](std::size_t n_bytes) {
        ArtifactWriter file(dir / "a.h5");
        file.dataset("/x", DType::u8, {n_bytes}, large.data());
        file.commit();
    };
    {
        const FileSizeLimit limit(65536);
        EXPECT_THAT([&] { write(large.size()); },
                    ThrowsMessage<IoError>(AllOf(HasSubstr("a.h5: /x: cannot write the dataset"),
                                                 HasSubstr("File too large"))));
    }
    EXPECT_TRUE(fs::is_empty(dir));
    write(large.size());  // the library is fit for use as before
    EXPECT_EQ(ArtifactReader(dir / "a.h5").read("/x"), large);
}

TEST_F(ArtifactTest, AFailureOfTheLastFlushIsAnIoErrorToo) {
    const FileSizeLimit limit(64);  // less than the metadata, which are written in commit()
    EXPECT_THAT(
        [&] {
            ArtifactWriter file(dir / "a.h5");
            file.group("/g", {{"a", 1}});
            file.commit();
        },
        ThrowsMessage<IoError>(HasSubstr("a.h5")));
    EXPECT_TRUE(fs::is_empty(dir));
}

TEST_F(ArtifactTest, WrongRequestsNameFileAndObject) {
    write_example(dir / "a.h5");
    const ArtifactReader file(dir / "a.h5");
    const auto refused = [](const std::function<void()>& use, const char* text) {
        EXPECT_THAT(use, ThrowsMessage<DataError>(AllOf(HasSubstr("a.h5: /"), HasSubstr(text))));
    };
    refused([&] { (void)file.read("/none"); }, "/none is not there");
    refused([&] { (void)file.attributes("/none"); }, "/none is not there");
    refused([&] { (void)file.read("/blocks/0"); }, "is a group, expected a dataset");
    refused([&] { (void)file.children("/blocks/0/codes"); }, "is not a group");
    std::vector<std::byte> target(47);
    refused([&] { file.read_into("/blocks/0/codes", target.data(), 47); },
            "has 48 bytes, expected 47");
    target.resize(48);
    file.read_into("/blocks/0/codes", target.data(), 48);
    EXPECT_EQ(target, data);
}

TEST_F(ArtifactTest, NumbersAreConverted) {
    const std::vector<std::int32_t> ids{5, -1, 2147483647};
    const std::vector<double> reals{3.0, 0.5, 0x1p63};
    const std::vector<std::uint64_t> large{7, 1ULL << 63};
    const std::vector<std::uint16_t> bf16{0x3F80, 0xC000};  // 1, -2
    const std::vector<std::uint16_t> f16{0x3C00, 0x0001};   // 1, 2^-24
    const auto raw = [](const auto& v) { return reinterpret_cast<const std::byte*>(v.data()); };
    {
        ArtifactWriter file(dir / "a.h5");
        file.dataset("/ids", DType::i32, {3}, raw(ids));
        file.dataset("/whole", DType::f64, {1}, raw(reals));
        file.dataset("/half", DType::f64, {2}, raw(reals));
        file.dataset("/far", DType::f64, {}, raw(reals) + 16);
        file.dataset("/large", DType::u64, {2}, raw(large));
        file.dataset("/bf16", DType::bf16, {2}, raw(bf16));
        file.dataset("/f16", DType::f16, {2}, raw(f16));
        file.commit();
    }
    const ArtifactReader file(dir / "a.h5");
    EXPECT_THAT(file.read_integers("/ids"), ElementsAre(5, -1, 2147483647));
    EXPECT_THAT(file.read_integers("/whole"), ElementsAre(3));
    EXPECT_THAT(file.read_floats("/ids"), ElementsAre(5.0F, -1.0F, 2147483648.0F));
    EXPECT_THAT(file.read_floats("/half"), ElementsAre(3.0F, 0.5F));
    EXPECT_THAT(file.read_floats("/bf16"), ElementsAre(1.0F, -2.0F));
    EXPECT_THAT(file.read_floats("/f16"), ElementsAre(1.0F, 0x1p-24F));
    EXPECT_THAT([&] { (void)file.read_integers("/half"); },
                ThrowsMessage<DataError>(HasSubstr("/half holds 0.5")));
    EXPECT_THAT([&] { (void)file.read_integers("/far"); },
                ThrowsMessage<DataError>(HasSubstr("holds 9223372036854775808")));
    EXPECT_THAT([&] { (void)file.read_integers("/large"); },
                ThrowsMessage<DataError>(HasSubstr("/large holds 9223372036854775808")));
}

TEST_F(ArtifactTest, ManyThreadsMayWriteAndRead) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([this, t] {
            const fs::path path = dir / ("t" + std::to_string(t) + ".h5");
            for (int round = 0; round < 5; ++round) {
                write_example(path);
                EXPECT_EQ(ArtifactReader(path).read("/blocks/0/codes"), data);
                EXPECT_THROW(ArtifactReader{dir / "none.h5"}, MissingInputError);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
}

}  // namespace
}  // namespace lathe
