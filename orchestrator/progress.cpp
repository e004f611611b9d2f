#include "orchestrator/progress.hpp"

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
    print(progress);
    const auto now = std::chrono::steady_clock::now();
    if (new_stage || now - last_written_ > std::chrono::seconds(1)) {
        last_written_ = now;
        write_status("running");
    }
}

void Progress::print(const StageProgress& progress) {
    if (style_ == Style::silent) {
        return;
    }
    const std::string eta = progress.done < progress.total && progress.eta_seconds > 0.0
                                ? ", " + duration_text(progress.eta_seconds) + " left"
                                : "";
    if (style_ == Style::lines) {
        const std::string running = running_text(progress.running);
        const auto now = std::chrono::steady_clock::now();
        if (progress.last == nullptr && now - last_line_ < longest_silence_) {
            return;
        }
        last_line_ = now;
        const std::string last =
            progress.last == nullptr
                ? (running.empty() ? "" : " at work: " + running)
                : fmt::format(" {} took {} on rank {}", progress.last->id,
                              duration_text(progress.last->seconds), progress.last->rank);
        print_error(fmt::format("{} {}/{}{}{}\n", progress.stage, progress.done, progress.total,
                                last, eta));
        return;
    }
    constexpr std::size_t width = 20;
    const std::size_t filled = progress.total == 0 ? width : width * progress.done / progress.total;
    // A line must not wrap: the next one could not take its place.
    const std::size_t columns = terminal_columns() - 1;
    std::string line =
        fmt::format("{:<10} [{:<{}}] {}/{}{}", progress.stage, std::string(filled, '#'), width,
                    progress.done, progress.total, eta);
    if (!progress.running.empty() && line.size() + 2 < columns) {
        line += "  " + short_text(progress.running.front()).substr(0, columns - 2 - line.size());
    }
    print_error("\r" + line + "\x1b[K");
    line_open_ = true;
}

void Progress::finish_line() noexcept {
    if (line_open_) {
        print_error("\n");
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
        const RunStatus record{
            status, stage_, done_, total_, eta_seconds_, n_ranks_, running_text(running_)};
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
