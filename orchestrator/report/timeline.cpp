#include "orchestrator/report/timeline.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <unordered_set>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/journal.hpp"
#include "orchestrator/report/node.hpp"

namespace lathe::report {
namespace {

/// Ranks that a page still has rows for; a number above it is damage.
constexpr int most_ranks = 1 << 16;

struct Start {
    int n_ranks = 1;
    double started = 0.0;  ///< seconds since 1970
    double ended = 0.0;    ///< of its last task or call
    std::string where;
};

struct Schedule {
    std::vector<Start> starts;
    std::unordered_set<std::string> of_all_ranks;  ///< ids of tasks
    std::size_t n_damaged = 0;                     ///< lines
};

void add_call(const Node& call, Schedule& schedule) {
    if (!schedule.starts.empty()) {
        Start& start = schedule.starts.back();
        start.ended = std::max(start.ended, start.started + call["ended"].number_or(0.0));
    }
    const Node tasks = call["tasks"];
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        if (tasks.at(i)["rank"].number() == static_cast<double>(all_ranks)) {
            schedule.of_all_ranks.insert(tasks.at(i)["id"].text());
        }
    }
}

Schedule read_starts(const std::filesystem::path& file) {
    std::istringstream lines(read_file(file));
    Schedule schedule;
    for (std::string text; std::getline(lines, text);) {
        const nlohmann::json line = try_parse_json(text);
        const Node node(line);
        if (!line.is_object()) {
            schedule.n_damaged += lines.eof() ? 0 : 1;  // a torn last line is what a kill leaves
        } else if (line.contains("ranks")) {
            const double ranks = node["ranks"].number_or(1.0);
            const double started = node["started"].number_or(0.0);
            schedule.starts.push_back({static_cast<int>(std::clamp(ranks, 1.0, 1.0 * most_ranks)),
                                       started, started, node["where"].text()});
        } else {
            add_call(node, schedule);
        }
    }
    return schedule;
}

/// Tasks of the journal that have a time, in the order in which they ended.
std::vector<JournalEntry> timed_entries(const RunDirectory& run, std::vector<std::string>& notes) {
    JournalContent journal = read_journal(run.journal());
    if (journal.n_corrupt > 0) {
        notes.push_back(std::to_string(journal.n_corrupt) + " lines of journal.jsonl are damaged");
    }
    const std::size_t n_all = journal.entries.size();
    std::erase_if(journal.entries, [](const JournalEntry& entry) {
        return !(entry.ended > 0.0) || !(entry.seconds >= 0.0) || entry.rank < 0 ||
               entry.rank >= most_ranks;
    });
    if (journal.entries.size() < n_all) {
        notes.push_back("when tasks ended: " + std::to_string(n_all - journal.entries.size()) +
                        " of " + std::to_string(n_all) +
                        " were recorded by a version of the program that did not say it");
    }
    std::ranges::stable_sort(journal.entries, {}, &JournalEntry::ended);
    return std::move(journal.entries);
}

std::size_t index_in(const std::string& name, std::vector<std::string>& names) {
    const auto found = std::ranges::find(names, name);
    if (found != names.end()) {
        return static_cast<std::size_t>(found - names.begin());
    }
    names.push_back(name);
    return names.size() - 1;
}

/// Adds what a start did; `offset` is what lies between 1970 and the timeline's zero there.
void add_spans(const std::vector<JournalEntry>& entries, const Schedule& schedule,
               std::size_t position, double offset, Timeline& timeline) {
    const Start& start = schedule.starts[position];
    const bool is_last = position + 1 == schedule.starts.size();
    for (const JournalEntry& entry : entries) {
        const bool is_before = position > 0 && entry.ended < start.started;
        if (is_before || (!is_last && entry.ended >= schedule.starts[position + 1].started)) {
            continue;
        }
        const double end = entry.ended - offset;
        Span span{entry.rank,
                  index_in(entry.stage, timeline.stages),
                  std::max(0.0, end - entry.seconds),
                  end,
                  1,
                  entry.task,
                  entry.seconds};
        const bool is_of_all = schedule.of_all_ranks.contains(entry.task);
        for (int rank = 0; rank < (is_of_all ? start.n_ranks : 1); ++rank) {
            span.rank = is_of_all ? rank : entry.rank;
            timeline.spans.push_back(span);
        }
    }
}

void add_rank_times(const Schedule& schedule, Timeline& timeline) {
    int n_ranks = 0;
    for (const Start& start : schedule.starts) {
        n_ranks = std::max(n_ranks, start.n_ranks);
    }
    for (const Span& span : timeline.spans) {
        n_ranks = std::max(n_ranks, span.rank + 1);
    }
    for (int rank = 0; rank < n_ranks; ++rank) {
        timeline.ranks.push_back({rank, 0, 0.0, 0.0});
    }
    for (const Start& start : schedule.starts) {
        for (int rank = 0; rank < start.n_ranks; ++rank) {
            timeline.ranks[static_cast<std::size_t>(rank)].there += start.ended - start.started;
        }
    }
    for (const Span& span : timeline.spans) {
        RankTime& time = timeline.ranks[static_cast<std::size_t>(span.rank)];
        time.tasks += 1;
        time.busy += span.end - span.begin;
    }
}

/// `spans` by rank and time: neighbours of a rank and stage become one where it is no longer than
/// `length`.
std::vector<Span> joined(const std::vector<Span>& spans, double length) {
    std::vector<Span> result;
    for (const Span& span : spans) {
        const bool joins = !result.empty() && result.back().rank == span.rank &&
                           result.back().stage == span.stage &&
                           span.end - result.back().begin <= length;
        if (!joins) {
            result.push_back(span);
            continue;
        }
        Span& last = result.back();
        last.end = std::max(last.end, span.end);
        last.tasks += span.tasks;
        if (span.longest_seconds > last.longest_seconds) {
            last.longest = span.longest;
            last.longest_seconds = span.longest_seconds;
        }
    }
    return result;
}

}  // namespace

Timeline read_timeline(const RunDirectory& run, std::vector<std::string>& notes,
                       std::size_t most_spans) {
    Timeline timeline;
    Schedule schedule;
    try {
        schedule = read_starts(run.schedule());
    } catch (const MissingInputError&) {
        notes.emplace_back("what the ranks did, and when (no schedule.jsonl)");
        return timeline;
    }
    if (schedule.n_damaged > 0) {
        notes.push_back(std::to_string(schedule.n_damaged) +
                        " lines of schedule.jsonl are damaged");
    }
    std::erase_if(schedule.starts, [](const Start& start) { return !(start.started > 0.0); });
    const std::vector<JournalEntry> entries = timed_entries(run, notes);
    if (schedule.starts.empty() || entries.empty()) {
        return timeline;
    }
    for (std::size_t s = 0; s < schedule.starts.size(); ++s) {
        Start& start = schedule.starts[s];
        const bool is_last = s + 1 == schedule.starts.size();
        for (const JournalEntry& entry : entries) {
            if (entry.ended >= start.started &&
                (is_last || entry.ended < schedule.starts[s + 1].started)) {
                start.ended = std::max(start.ended, entry.ended);
            }
        }
        const double before = s == 0 ? start.started : schedule.starts[s - 1].ended;
        timeline.starts.push_back(
            {start.n_ranks, timeline.seconds, std::max(0.0, start.started - before), start.where});
        add_spans(entries, schedule, s, start.started - timeline.seconds, timeline);
        timeline.seconds += start.ended - start.started;
    }
    add_rank_times(schedule, timeline);
    std::ranges::stable_sort(timeline.spans, {},
                             [](const Span& span) { return std::pair(span.rank, span.begin); });
    // Until a span a rank and stage is left, at the latest.
    for (double length = timeline.seconds / 4000.0;
         timeline.spans.size() > most_spans && length > 0.0 && length < 2.0 * timeline.seconds;
         length *= 2.0) {
        timeline.spans = joined(timeline.spans, length);
    }
    return timeline;
}

}  // namespace lathe::report
