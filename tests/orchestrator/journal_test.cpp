#include "orchestrator/journal.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

JournalEntry entry_of(const std::string& task, double seconds = 1.5) {
    return {task, "compress", seconds, 3, 4096, "candidates/block_0003.h5", R"({"error":0.25})"};
}

class JournalTest : public ::testing::Test {
protected:
    fs::path dir = fs::path(::testing::TempDir()) / ("lathe_journal_" + std::to_string(getpid()));
    fs::path path = dir / "journal.jsonl";
    void SetUp() override { make_directories(dir); }
    void TearDown() override { fs::remove_all(dir); }

    /// Three tasks, a, b and c.
    void write_three() {
        Journal journal(path);
        for (const char* task : {"a", "b", "c"}) {
            journal.record(entry_of(task));
        }
    }
    [[nodiscard]] std::string content() const { return read_file(path); }
    void replace(const std::string& from, const std::string& to) {
        std::string text = content();
        const std::size_t at = text.find(from);
        ASSERT_NE(at, std::string::npos);
        write_file(path, text.replace(at, from.size(), to));
    }
    static std::vector<std::string> tasks_of(const std::vector<JournalEntry>& entries) {
        std::vector<std::string> tasks;
        for (const JournalEntry& entry : entries) {
            tasks.push_back(entry.task);
        }
        return tasks;
    }
};

TEST_F(JournalTest, AMissingFileIsAnEmptyJournal) {
    EXPECT_THAT(read_journal(path).entries, SizeIs(0));
    EXPECT_FALSE(fs::exists(path));
    const Journal journal(path);
    EXPECT_THAT(journal.entries(), SizeIs(0));
    EXPECT_FALSE(journal.find("a").has_value());
    EXPECT_TRUE(fs::exists(path));
}

TEST_F(JournalTest, AnEmptyFileIsAnEmptyJournal) {
    write_file(path, "");
    Journal journal(path);
    EXPECT_THAT(journal.entries(), SizeIs(0));
    EXPECT_EQ(journal.n_corrupt(), 0U);
    journal.record(entry_of("a"));
    EXPECT_THAT(read_journal(path).entries, SizeIs(1));
}

TEST_F(JournalTest, EntriesComeBackAsTheyWere) {
    const JournalEntry odd{"compress/\"q\"\n", "",         1e-300,          0,
                           UINT64_MAX,         "\xC3\xA4", "{\"crc\":\"\"}"};
    {
        Journal journal(path);
        journal.record(odd);
        journal.record(entry_of("b"));
        EXPECT_EQ(journal.find(odd.task), odd);
    }
    const Journal journal(path);
    EXPECT_THAT(journal.entries(), ElementsAre(odd, entry_of("b")));
    EXPECT_EQ(journal.find("b"), entry_of("b"));
    EXPECT_FALSE(journal.find("c").has_value());
}

TEST_F(JournalTest, ALineIsJsonWithTheCheckSumLast) {
    Journal(path).record(entry_of("a"));
    // XXH3 (seed 0) of the line without `,"crc":"..."`, from the xxhash package of Python.
    EXPECT_EQ(content(),
              R"({"task":"a","stage":"compress","seconds":1.5,"rank":3,"size_bytes":4096,)"
              R"("artifact":"candidates/block_0003.h5","text":"{\"error\":0.25}",)"
              R"("crc":"9d1b723f32a9c421"})"
              "\n");
}

TEST_F(JournalTest, TheLastEntryOfATaskWins) {
    write_three();
    {
        Journal journal(path);
        journal.record(entry_of("b", 9.0));
        EXPECT_EQ(journal.find("b")->seconds, 9.0);
        EXPECT_THAT(tasks_of(journal.entries()), ElementsAre("a", "b", "c"));
    }
    const Journal journal(path);
    EXPECT_EQ(journal.find("b")->seconds, 9.0);
    EXPECT_THAT(tasks_of(journal.entries()), ElementsAre("a", "b", "c"));
}

TEST_F(JournalTest, ATornLastLineIsDroppedWithoutWarning) {
    write_three();
    const std::string whole = content();
    // Wherever the write was cut: after one byte, in the middle, just before the newline.
    const std::size_t last = whole.rfind('\n', whole.size() - 2) + 1;
    for (const std::size_t size : {last + 1, (last + whole.size()) / 2, whole.size() - 1}) {
        write_file(path, whole.substr(0, size));
        EXPECT_THAT(tasks_of(read_journal(path).entries), ElementsAre("a", "b"));
        EXPECT_EQ(content().size(), size) << "reading must not change the file";
        Journal journal(path);
        EXPECT_EQ(journal.n_corrupt(), 0U);
        EXPECT_FALSE(journal.find("c").has_value());
        journal.record(entry_of("c"));
        EXPECT_EQ(content(), whole);
    }
}

TEST_F(JournalTest, ACorruptLastLineIsDroppedForGood) {
    write_three();
    replace(R"("task":"c")", R"("task":"d")");
    {
        Journal journal(path);
        EXPECT_EQ(journal.n_corrupt(), 0U);
        EXPECT_THAT(tasks_of(journal.entries()), ElementsAre("a", "b"));
        journal.record(entry_of("c"));
    }
    const Journal journal(path);
    EXPECT_EQ(journal.n_corrupt(), 0U);
    EXPECT_THAT(tasks_of(journal.entries()), ElementsAre("a", "b", "c"));
}

TEST_F(JournalTest, CorruptLinesInTheMiddleAreDroppedAndCounted) {
    write_three();
    replace(R"("task":"a")", R"("task":"x")");
    replace(R"({"task":"b")", R"(garbage)");
    const JournalContent content = read_journal(path);
    EXPECT_EQ(content.n_corrupt, 2U);
    EXPECT_TRUE(content.is_damaged);
    {
        const Journal journal(path);
        EXPECT_EQ(journal.n_corrupt(), 2U);
        EXPECT_THAT(tasks_of(journal.entries()), ElementsAre("c"));
    }
    EXPECT_EQ(Journal(path).n_corrupt(), 0U) << "told once";
}

TEST_F(JournalTest, ADamagedCheckSumIsNoticed) {
    write_three();
    std::string text = content();
    const std::size_t digit = text.find("\"crc\":\"") + 7;
    text[digit] = text[digit] == '0' ? '1' : '0';
    write_file(path, text);
    EXPECT_THAT(tasks_of(read_journal(path).entries), ElementsAre("b", "c"));
}

TEST_F(JournalTest, TextThatIsNoUtf8DoesNotStopTheJob) {
    JournalEntry entry = entry_of("a");
    entry.text = "bad \xFF byte";
    Journal(path).record(entry);
    EXPECT_THAT(Journal(path).find("a")->text, HasSubstr("bad \xEF\xBF\xBD byte"));
}

}  // namespace
}  // namespace lathe
