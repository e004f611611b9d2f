#include "orchestrator/progress.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/core/file.hpp"
#include "lib/core/log.hpp"
#include "lib/core/standard_streams.hpp"
#include "orchestrator/run_records.hpp"
#include "orchestrator/timekeeper.hpp"

namespace lathe {

namespace {

/// Of standard error.
std::size_t terminal_columns() {
    winsize size{};
    const bool is_known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return is_known ? size.ws_col : 80;
}

/// "block_0003.gate 42 %, 3 min 05 s": for a bar, which has the stage's name.
std::string short_text(const RunningTask& running) {
    return fmt::format(
        "{}{}, {}", running.task.substr(running.task.rfind('/') + 1),
        running.fraction > 0.0 ? fmt::format(" {:.0f} %", 100.0 * running.fraction) : "",
        duration_text(running.seconds));
}

std::string bar_text(double share) {
    constexpr std::size_t width = 20;
    const auto filled = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * width);
    return fmt::format("[{:<{}}]", std::string(filled, '#'), width);
}

/// ", 3 min 05 s left"; "" where that is not known.
std::string eta_text(const StageProgress& progress) {
    return progress.done < progress.total && progress.eta_seconds > 0.0
               ? ", " + duration_text(progress.eta_seconds) + " left"
               : "";
}

}  // namespace

Progress::Style Progress::default_style() {
    return ::isatty(STDERR_FILENO) != 0 ? Style::bar : Style::lines;
}

void Progress::update(const StageProgress& progress) noexcept {
    try {
        show(progress);
    } catch (const std::exception& e) {  // out of memory: a line less
        log_warning(e.what());
    }
}

void Progress::show(const StageProgress& progress) {
    const bool new_stage = progress.stage != stage_;
    if (new_stage) {
        finish_line();
    }
    stage_ = progress.stage;
    done_ = progress.done;
    total_ = progress.total;
    eta_seconds_ = progress.eta_seconds;
    running_ = progress.running;
    lost_ = progress.lost;
    const auto now = std::chrono::steady_clock::now();
    job_.update(progress, std::chrono::duration<double>(now.time_since_epoch()).count());
    print(progress);
    if (new_stage || now - last_written_ > std::chrono::seconds(1)) {
        last_written_ = now;
        write_status("running");
    }
}

void Progress::print(const StageProgress& progress) {
    if (style_ == Style::silent) {
        return;
    }
    if (style_ == Style::bar) {
        print_bars(progress);
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (progress.last == nullptr && now - last_line_ < longest_silence_) {
        return;
    }
    last_line_ = now;
    const std::string running = running_text(progress.running);
    const std::string last =
        progress.last == nullptr
            ? (running.empty() ? "" : " at work: " + running)
            : fmt::format(" {} took {} on rank {}", progress.last->id,
                          duration_text(progress.last->seconds), progress.last->rank);
    const std::string job =
        job_.is_known() ? "; job " + duration_text(job_.seconds_left()) + " left" : "";
    print_error(fmt::format("{} {}/{}{}{}{}\n", progress.stage, progress.done, progress.total, last,
                            eta_text(progress), job));
}

void Progress::print_bars(const StageProgress& progress) {
    const double share = progress.total == 0 ? 1.0
                                             : static_cast<double>(progress.done) /
                                                   static_cast<double>(progress.total);
    // A line must not wrap: the next one could not take its place.
    const std::size_t columns = terminal_columns() - 1;
    std::string line = fmt::format("{:<10} {} {}/{}{}", progress.stage, bar_text(share),
                                   progress.done, progress.total, eta_text(progress));
    if (!progress.running.empty() && line.size() + 2 < columns) {
        line += "  " + short_text(progress.running.front()).substr(0, columns - 2 - line.size());
    }
    std::string text = "\r" + line + "\x1b[K";
    if (job_.is_known()) {
        std::string job =
            fmt::format("{:<10} {} {:.0f} %, {} left", "job", bar_text(job_.share_done()),
                        100.0 * job_.share_done(), duration_text(job_.seconds_left()));
        job.resize(std::min(job.size(), columns));
        // Below, and back to the end of the stage's line: a line of the log goes behind that.
        text += "\n\r" + job +
                fmt::format("\x1b[K\x1b[A\r\x1b[{}C",
                            std::max<std::size_t>(1, std::min(line.size(), columns)));
    }
    print_error(text);
    line_open_ = true;
}

void Progress::finish_line() noexcept {
    if (line_open_) {
        print_error(job_.is_known() ? "\n\x1b[K" : "\n");
    }
    line_open_ = false;
}

void Progress::finish(const std::string& status) noexcept {
    finish_line();
    eta_seconds_ = 0.0;
    running_.clear();
    write_status(status);
}

void Progress::write_status(const std::string& status) noexcept {
    if (status_file_.empty()) {
        return;
    }
    try {
        RunStatus record{
            status, stage_, done_, total_, eta_seconds_, n_ranks_, running_text(running_)};
        const bool is_running = status == "running";
        record.job_eta_seconds = is_running ? job_.seconds_left() : 0.0;
        record.job_share = status == "done" ? 1.0 : job_.share_done();
        record.running = running_;
        record.running.resize(std::min(running_.size(), RunStatus::most_running));
        record.lost = lost_;
        record.written = seconds_since_1970();
        write_file(status_file_, to_json(record) + "\n");
    } catch (const std::exception& e) {
        // Only a courtesy to readers: the job itself will meet the full disk where it matters.
        std::array<char, 512> line{};
        std::snprintf(line.data(), line.size(), "status_not_written reason=\"%s\"", e.what());
        log_warning(line.data());
    }
}

std::string running_text(const std::vector<RunningTask>& running) {
    if (running.empty()) {
        return "";
    }
    const RunningTask& first = running.front();
    return fmt::format("{}{} on rank {} for {}{}", first.task,
                       first.fraction > 0.0 ? fmt::format(" {:.0f} %", 100.0 * first.fraction) : "",
                       first.rank, duration_text(first.seconds),
                       running.size() == 1 ? "" : fmt::format(" and {} more", running.size() - 1));
}

std::string duration_text(double seconds) {
    if (seconds < 60.0) {
        return fmt::format("{:.1f} s", seconds);
    }
    const auto whole = static_cast<long long>(std::lround(seconds));
    if (whole < 3600) {
        return fmt::format("{} min {:02} s", whole / 60, whole % 60);
    }
    return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string bytes_text(std::uint64_t bytes) {
    constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1000.0 && unit < 4) {
        value /= 1000.0;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, units[unit]);
}

}  // namespace lathe
