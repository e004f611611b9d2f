#include "orchestrator/live_view.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/core/json.hpp"
#include "lib/core/standard_streams.hpp"
#include "orchestrator/progress.hpp"
#include "orchestrator/rank_log.hpp"

namespace lathe {
namespace {

constexpr std::size_t most_events = 40;

/// Bytes that a terminal shows as one character each.
std::string plain(std::string text) {
    for (char& c : text) {
        c = c >= ' ' && c <= '~' ? c : '?';
    }
    return text;
}

/// Whole lines at the end of a file; none if it cannot be read.
std::vector<std::string> end_of(const std::filesystem::path& path) {
    constexpr std::streamoff most_bytes = 32768;
    std::ifstream file(path, std::ios::binary);
    file.seekg(0, std::ios::end);
    const std::streamoff size = file.tellg();
    const std::streamoff first = std::max<std::streamoff>(0, size - most_bytes);
    file.seekg(first);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) {
        lines.push_back(line);
    }
    if (first > 0 && !lines.empty()) {
        lines.erase(lines.begin());  // it begins in the midst of one
    }
    return lines;
}

/// An event and when it was, in a form that sorts.
struct Event {
    std::string time;  ///< "2026-11-30 07:29:59.006"
    std::string text;
};

void add_finished_tasks(const RunDirectory& run, std::vector<Event>& events) {
    for (const std::string& line : end_of(run.journal())) {
        const nlohmann::json entry = try_parse_json(line);
        if (!entry.is_object() || !entry.value("task", nlohmann::json()).is_string() ||
            !entry.value("seconds", nlohmann::json()).is_number() ||
            !entry.value("ended", nlohmann::json()).is_number()) {
            continue;
        }
        constexpr double most_seconds = 1e11;  // the year 5138
        const double ended = std::clamp(entry["ended"].get<double>(), 0.0, most_seconds);
        const auto rank = entry.value("rank", nlohmann::json());
        events.push_back(
            {fmt::format("{:%F %H:%M:%S}", fmt::localtime(static_cast<std::time_t>(ended))),
             fmt::format("{} took {}{}", entry["task"].get<std::string>(),
                         duration_text(entry["seconds"].get<double>()),
                         rank.is_number_integer()
                             ? fmt::format(" on rank {}", rank.get<std::int64_t>())
                             : "")});
    }
}

/// Warnings and notes of the coordinator: lost ranks, failed tasks, stops. What each task began and
/// ended is the journal's.
void add_log(const RunDirectory& run, std::vector<Event>& events) {
    constexpr std::size_t time_length = 23;
    for (const std::string& line : end_of(run.log(0))) {
        const std::size_t info = line.find(" I rank=");
        const std::size_t level = info == std::string::npos ? line.find(" W rank=") : info;
        if (level == std::string::npos || level < time_length || line[4] != '-') {
            continue;
        }
        const std::size_t text = line.find(' ', level + 3);
        events.push_back({line.substr(0, time_length),
                          (info == std::string::npos ? "warning: " : "") +
                              (text == std::string::npos ? "" : line.substr(text + 1))});
    }
}

std::string bar(double share, std::size_t width) {
    const auto filled =
        static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(width) + 0.5);
    return "[" + std::string(filled, '#') + std::string(width - filled, '.') + "]";
}

std::string row_of(std::size_t width, const std::string& rank, const std::string& task,
                   const std::string& seconds, const std::string& done, const std::string& memory) {
    const std::string figures = fmt::format("{:>12} {:>6} {:>9}", seconds, done, memory);
    const std::size_t room = width > figures.size() + 7 ? width - figures.size() - 7 : 1;
    return fmt::format("{:>4}  {:<{}.{}} {}", rank, task, room, room, figures);
}

std::string rank_line(const RunStatus& status, int rank, std::size_t width) {
    const auto task = std::ranges::find(status.running, rank, &RunningTask::rank);
    if (std::ranges::find(status.lost, rank) != status.lost.end()) {
        return fmt::format("{:>4}  lost", rank);
    }
    if (task == status.running.end()) {
        return fmt::format("{:>4}  idle", rank);
    }
    return row_of(width, std::to_string(rank), plain(task->task), duration_text(task->seconds),
                  task->fraction > 0.0 ? fmt::format("{:.0f} %", 100.0 * task->fraction) : "-",
                  task->memory_bytes > 0 ? bytes_text(task->memory_bytes) : "-");
}

/// A header, and ranks in as many columns as fit; those that work first where there is no room for
/// all.
std::vector<std::string> rank_lines(const RunStatus& status, std::size_t columns,
                                    std::size_t rows) {
    constexpr std::size_t least_width = 64;
    const std::size_t n_across = std::max<std::size_t>(1, columns / least_width);
    const std::size_t width = columns / n_across - (n_across > 1 ? 2 : 0);
    std::vector<int> ranks;
    const auto n_ranks = static_cast<std::size_t>(std::max(0, status.ranks));
    if (n_ranks <= n_across * rows) {
        for (int rank = 0; rank < status.ranks; ++rank) {
            ranks.push_back(rank);
        }
    } else {
        for (const int rank : status.lost) {
            ranks.push_back(rank);
        }
        for (const RunningTask& task : status.running) {  // the longest at work first
            ranks.push_back(task.rank);
        }
    }
    const std::size_t shown = std::min(ranks.size(), n_across * rows);
    const bool has_more = shown < n_ranks && rows > 1;
    const std::size_t lines =
        std::min(rows - (has_more ? 1 : 0), (shown + n_across - 1) / n_across);
    std::vector<std::string> result{""};
    for (std::size_t column = 0; column < n_across && column * lines < shown; ++column) {
        result.front() +=
            fmt::format("{:<{}}  ", row_of(width, "rank", "task", "for", "done", "memory"), width);
    }
    for (std::size_t line = 0; line < lines; ++line) {
        std::string text;
        for (std::size_t column = 0; column < n_across; ++column) {
            const std::size_t at = column * lines + line;
            if (at < std::min(shown, lines * n_across)) {
                text += fmt::format("{:<{}}  ", rank_line(status, ranks[at], width), width);
            }
        }
        result.push_back(text);
    }
    if (has_more) {
        result.push_back(fmt::format("      and {} more ranks, {} of {} at work",
                                     n_ranks - std::min(shown, lines * n_across),
                                     status.running.size(), n_ranks));
    }
    return result;
}

}  // namespace

LiveView read_live_view(const RunDirectory& run) {
    LiveView view{run.root().string(), read_live_status(run), {}};
    std::vector<Event> events;
    add_finished_tasks(run, events);
    add_log(run, events);
    std::ranges::stable_sort(events, {}, &Event::time);
    const std::size_t first = events.size() > most_events ? events.size() - most_events : 0;
    for (std::size_t e = first; e < events.size(); ++e) {
        view.events.push_back(events[e].time.substr(11, 8) + "  " + events[e].text);
    }
    return view;
}

std::vector<std::string> view_lines(const LiveView& view, std::size_t columns, std::size_t rows) {
    const RunStatus& status = view.status;
    const std::size_t width = std::clamp<std::size_t>(columns / 3, 10, 50);
    const auto left = [](double seconds) {
        return seconds > 0.0 ? duration_text(seconds) + " left" : std::string();
    };
    const double stage_share =
        status.tasks_total == 0
            ? 0.0
            : static_cast<double>(status.tasks_done) / static_cast<double>(status.tasks_total);
    std::vector<std::string> lines{
        fmt::format("lathe  {}  {}", status.status, plain(view.run)),
        fmt::format("job    {} {:>4.0f} %  {}", bar(status.job_share, width),
                    100.0 * status.job_share, left(status.job_eta_seconds)),
        fmt::format("stage  {} {:>6}  {}", bar(stage_share, width),
                    fmt::format("{}/{}", status.tasks_done, status.tasks_total),
                    plain(status.stage) +
                        (status.eta_seconds > 0.0 ? ", " + left(status.eta_seconds) : "")),
        ""};
    constexpr std::size_t least_events = 4;
    const std::size_t taken = lines.size() + 3 + least_events;
    const std::size_t for_ranks = rows > taken ? rows - taken : 1;
    for (std::string& line : rank_lines(status, columns, for_ranks)) {
        lines.push_back(std::move(line));
    }
    lines.emplace_back();
    lines.emplace_back("last events");
    const std::size_t room = rows > lines.size() ? rows - lines.size() : 0;
    const std::size_t n_events = std::min(room, view.events.size());
    for (std::size_t e = view.events.size() - n_events; e < view.events.size(); ++e) {
        lines.push_back(plain(view.events[e]));
    }
    lines.resize(std::min(lines.size(), rows));
    for (std::string& line : lines) {
        line.resize(std::min(line.size(), columns));
        line.erase(line.find_last_not_of(' ') + 1);
    }
    return lines;
}

bool FullScreen::is_possible() {
    const char* const terminal = std::getenv("TERM");
    return ::isatty(STDERR_FILENO) != 0 && terminal != nullptr && *terminal != '\0' &&
           std::string_view(terminal) != "dumb";
}

FullScreen::FullScreen() {
    print_error("\x1b[?1049h\x1b[?25l\x1b[2J");
}

FullScreen::~FullScreen() {
    print_error("\x1b[?25h\x1b[?1049l");
}

FullScreen::Size FullScreen::size() {
    winsize found{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &found) != 0 || found.ws_col < 2 || found.ws_row < 2) {
        return {};
    }
    return {found.ws_col, found.ws_row};
}

bool FullScreen::show(const std::vector<std::string>& lines) {
    // Each line clears what was behind it, and the last one what is below: no empty screen between.
    std::string picture = "\x1b[H";
    for (std::size_t l = 0; l < lines.size(); ++l) {
        const bool is_title = l == 0;
        picture += (is_title ? "\x1b[1m" : "") + lines[l] + (is_title ? "\x1b[0m" : "") + "\x1b[K" +
                   (l + 1 < lines.size() ? "\r\n" : "");
    }
    picture += "\x1b[J";
    const bool is_resized = size() != std::exchange(size_, size());
    if (picture == shown_ && !is_resized) {
        return true;
    }
    shown_ = picture;
    return print_error((is_resized ? "\x1b[2J" : "") + picture);
}

}  // namespace lathe
