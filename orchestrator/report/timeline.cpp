#include "orchestrator/report/timeline.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/file_lock.hpp"
#include "lib/core/json.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/journal.hpp"
#include "orchestrator/report/node.hpp"
#include "orchestrator/run_records.hpp"

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
    std::vector<UnfinishedTask> unfinished;
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

/// Of a damaged line something that is_on_timeline() does not hold for.
UnfinishedTask unfinished_from(const Node& line) {
    return {line["unfinished"].text(),
            line["stage"].text(),
            static_cast<int>(std::clamp(line["rank"].number_or(-1.0), -1.0, 1.0 * most_ranks)),
            line["ended"].number_or(0.0),
            line["seconds"].number_or(-1.0),
            line["why"].text()};
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
        } else if (line.contains("unfinished")) {
            schedule.unfinished.push_back(unfinished_from(node));
        } else {
            add_call(node, schedule);
        }
    }
    return schedule;
}

bool is_on_timeline(double ended, double seconds, int rank) {
    return ended > 0.0 && seconds >= 0.0 && rank >= 0 && rank < most_ranks;
}

/// Tasks of the journal that have a time, in the order in which they ended.
std::vector<JournalEntry> timed_entries(const RunDirectory& run, std::vector<std::string>& notes) {
    JournalContent journal = read_journal(run.journal());
    if (journal.n_corrupt > 0) {
        notes.push_back(std::to_string(journal.n_corrupt) + " lines of journal.jsonl are damaged");
    }
    const std::size_t n_all = journal.entries.size();
    std::erase_if(journal.entries, [](const JournalEntry& entry) {
        return !is_on_timeline(entry.ended, entry.seconds, entry.rank);
    });
    if (journal.entries.size() < n_all) {
        notes.push_back("when tasks ended: " + std::to_string(n_all - journal.entries.size()) +
                        " of " + std::to_string(n_all) +
                        " were recorded by a version of the program that did not say it");
    }
    std::ranges::stable_sort(journal.entries, {}, &JournalEntry::ended);
    return std::move(journal.entries);
}

/// Adds those that a killed program or one that still works has by its status; takes out damaged
/// ones, and those whose result came after all.
void complete_unfinished(const RunDirectory& run, const std::vector<JournalEntry>& entries,
                         double last_start, std::vector<UnfinishedTask>& tasks) {
    const RunStatus written = read_status_file(run.status());
    const bool works = FileLock::is_held(run.lock());
    // What the status of an earlier start had, the last one has put into the schedule.
    if (written.written >= last_start) {
        const auto at_work = tasks_at_work(written, works ? "at work" : "the program was killed");
        tasks.insert(tasks.end(), at_work.begin(), at_work.end());
    }
    std::unordered_map<std::string_view, const JournalEntry*> finished;
    for (const JournalEntry& entry : entries) {
        finished.emplace(entry.task, &entry);
    }
    std::erase_if(tasks, [&](const UnfinishedTask& task) {
        const auto found = finished.find(task.task);
        // Begun again it would have begun later. The journal has one rank of a task of all ranks.
        const bool came_late =
            found != finished.end() && found->second->ended - found->second->seconds < task.ended;
        return came_late || !is_on_timeline(task.ended, task.seconds, task.rank);
    });
    std::ranges::stable_sort(tasks, {}, &UnfinishedTask::ended);
}

std::size_t index_in(const std::string& name, std::vector<std::string>& names) {
    const auto found = std::ranges::find(names, name);
    if (found != names.end()) {
        return static_cast<std::size_t>(found - names.begin());
    }
    names.push_back(name);
    return names.size() - 1;
}

/// Whether what ended then belongs to this start; what is before the first one does to that.
bool is_in_start(const Schedule& schedule, std::size_t position, double ended) {
    return (position == 0 || ended >= schedule.starts[position].started) &&
           (position + 1 == schedule.starts.size() ||
            ended < schedule.starts[position + 1].started);
}

/// Adds what a start did; `offset` is what lies between 1970 and the timeline's zero there.
void add_spans(const std::vector<JournalEntry>& entries, const Schedule& schedule,
               std::size_t position, double offset, Timeline& timeline) {
    const Start& start = schedule.starts[position];
    for (const JournalEntry& entry : entries) {
        if (!is_in_start(schedule, position, entry.ended)) {
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
    for (const UnfinishedTask& task : schedule.unfinished) {
        if (is_in_start(schedule, position, task.ended)) {
            const double end = task.ended - offset;
            timeline.spans.push_back({task.rank, index_in(task.stage, timeline.stages),
                                      std::max(0.0, end - task.seconds), end, 1, task.task,
                                      task.seconds, task.why});
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
                           result.back().stage == span.stage && span.unfinished.empty() &&
                           result.back().unfinished.empty() &&
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

std::vector<const Span*> Timeline::unfinished() const {
    std::vector<const Span*> found;
    for (const Span& span : spans) {
        if (!span.unfinished.empty()) {
            found.push_back(&span);
        }
    }
    std::ranges::stable_sort(found, {}, [](const Span* span) { return span->end; });
    return found;
}

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
    if (schedule.starts.empty()) {
        return timeline;
    }
    complete_unfinished(run, entries, schedule.starts.back().started, schedule.unfinished);
    if (entries.empty() && schedule.unfinished.empty()) {
        return timeline;
    }
    for (std::size_t s = 0; s < schedule.starts.size(); ++s) {
        Start& start = schedule.starts[s];
        const auto include = [&](double ended) {
            if (is_in_start(schedule, s, ended)) {
                start.ended = std::max(start.ended, ended);
            }
        };
        std::ranges::for_each(entries, include, &JournalEntry::ended);
        std::ranges::for_each(schedule.unfinished, include, &UnfinishedTask::ended);
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
