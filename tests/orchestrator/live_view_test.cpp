#include "orchestrator/live_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "lib/core/file.hpp"
#include "orchestrator/journal.hpp"

namespace lathe {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;

LiveView view_of(int n_ranks) {
    LiveView view;
    view.run = "/runs/a";
    view.status.status = "running";
    view.status.stage = "compress";
    view.status.tasks_done = 3;
    view.status.tasks_total = 12;
    view.status.eta_seconds = 65.0;
    view.status.ranks = n_ranks;
    view.status.job_eta_seconds = 3725.0;
    view.status.job_share = 0.25;
    for (int rank = 0; rank < n_ranks; ++rank) {
        if (rank % 3 != 2) {
            view.status.running.push_back(
                {"compress/block_0003.down", rank, 100.0 - rank, 0.5, 2'000'000'000});
        }
    }
    for (int e = 0; e < 30; ++e) {
        view.events.push_back("07:00:" + std::to_string(10 + e) + "  event " + std::to_string(e));
    }
    return view;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) {
        text += line + "\n";
    }
    return text;
}

TEST(LiveView, ShowsJobStageRanksAndEvents) {
    LiveView view = view_of(3);
    view.status.lost = {2};
    const std::string text = joined(view_lines(view, 80, 24));
    EXPECT_THAT(text, HasSubstr("running  /runs/a"));
    EXPECT_THAT(text, HasSubstr("25 %  1 h 02 min left"));
    EXPECT_THAT(text, HasSubstr("3/12  compress, 1 min 05 s left"));
    EXPECT_THAT(text, HasSubstr("   0  compress/block_0003.down"));
    EXPECT_THAT(text, HasSubstr("1 min 40 s   50 %   2.00 GB"));
    EXPECT_THAT(text, HasSubstr("   2  lost"));
    EXPECT_THAT(text, HasSubstr("event 29"));
}

TEST(LiveView, FitsWhateverTheTerminalIs) {
    for (const int ranks : {0, 1, 7, 64, 1000}) {
        for (const std::size_t columns : {2UL, 20UL, 80UL, 127UL, 128UL, 200UL, 500UL}) {
            for (const std::size_t rows : {2UL, 6UL, 12UL, 24UL, 50UL}) {
                const auto lines = view_lines(view_of(ranks), columns, rows);
                EXPECT_LE(lines.size(), rows) << ranks << " ranks, " << columns << " columns";
                EXPECT_THAT(lines, Each(SizeIs(::testing::Le(columns)))) << rows;
            }
        }
    }
}

TEST(LiveView, RanksThatAreNotShownAreCounted) {
    const std::string small = joined(view_lines(view_of(64), 80, 24));
    EXPECT_THAT(small, HasSubstr("more ranks, 43 of 64 at work"));
    EXPECT_THAT(small, HasSubstr("event 29"));
    const std::string large = joined(view_lines(view_of(64), 200, 50));
    for (int rank = 0; rank < 64; ++rank) {
        EXPECT_THAT(large, HasSubstr((rank < 10 ? "   " : "  ") + std::to_string(rank) + "  "));
    }
}

TEST(LiveView, WhatIsNotPrintableIsNot) {
    LiveView view = view_of(1);
    view.run = "/runs/\x1b[2J\xff";
    view.status.running[0].task = "evil\x1b]0;title\x07";
    view.events = {"a\rb"};
    for (const std::string& line : view_lines(view, 80, 24)) {
        EXPECT_EQ(line.find_first_of("\x1b\r\x07\xff"), std::string::npos) << line;
    }
}

TEST(LiveView, EventsAreFinishedTasksAndWarningsInOrder) {
    const auto root = std::filesystem::path(::testing::TempDir()) /
                      ("lathe_live_view_" + std::to_string(::getpid()));
    const RunDirectory run(root);
    make_directories(run.logs());
    {
        Journal journal(run.journal());
        journal.record({"compress/a", "compress", 1.5, 1, 0, "", "", 1.8e9});
        journal.record({"of an older version", "compress", 1.5, 1, 0, "", ""});
    }
    write_file(run.log(0),
               "2000-01-01 00:00:00.000 vm W rank=0 rank_lost rank=1 reason=\"silent\"\n"
               "2000-01-01 00:00:01.000 vm D rank=0 task_begin task=compress/a\n"
               "2100-01-01 00:00:02.000 vm I rank=0 stop_requested done=1\ntorn");
    const LiveView view = read_live_view(run);
    ASSERT_THAT(view.events, SizeIs(3));
    EXPECT_THAT(view.events[0], HasSubstr("00:00:00  warning: rank_lost rank=1"));
    EXPECT_THAT(view.events[1], HasSubstr("compress/a took 1.5 s on rank 1"));
    EXPECT_THAT(view.events[2], HasSubstr("00:00:02  stop_requested done=1"));
    std::filesystem::remove_all(root);
    EXPECT_THAT(read_live_view(run).events, SizeIs(0)) << "nothing is there";
}

}  // namespace
}  // namespace lathe
