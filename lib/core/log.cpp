#include "lib/core/log.hpp"

#include <array>
#include <memory>
#include <mutex>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace lathe {
namespace {

/// The program's logger. Threads log while log_to_file() adds the file.
struct Log {
    std::mutex mutex;
    std::shared_ptr<spdlog::logger> logger;
    std::filesystem::path file;
    int rank = 0;
};

Log& log() {
    static Log instance;
    return instance;
}

void write(spdlog::level::level_enum level, std::string_view text) noexcept {
    try {
        std::shared_ptr<spdlog::logger> logger;
        {
            const std::lock_guard lock(log().mutex);
            logger = log().logger;
        }
        if (logger) {
            logger->log(level, text);
        }
    } catch (...) {  // NOLINT(bugprone-empty-catch): a line is lost, what it tells of goes on
    }
}

spdlog::level::level_enum level_of(LogLevel level) {
    switch (level) {
        case LogLevel::verbose:
            return spdlog::level::debug;
        case LogLevel::normal:
            return spdlog::level::info;
        case LogLevel::quiet:
            break;
    }
    return spdlog::level::warn;
}

std::string host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::shared_ptr<spdlog::logger> logger_of(std::vector<spdlog::sink_ptr> sinks) {
    auto logger = std::make_shared<spdlog::logger>("lathe", sinks.begin(), sinks.end());
    logger->set_level(spdlog::level::debug);  // each sink has its own
    logger->flush_on(spdlog::level::debug);
    return logger;
}

}  // namespace

void start_logging(LogLevel level, int rank) {
    const auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern("%H:%M:%S %L rank=" + std::to_string(rank) + " %v");
    sink->set_level(level_of(level));
    const std::lock_guard lock(log().mutex);
    log().rank = rank;
    log().file.clear();
    log().logger = logger_of({sink});
}

void log_to_file(const std::filesystem::path& file) {
    std::string problem;
    {
        const std::lock_guard lock(log().mutex);
        if (!log().logger || log().file == file) {
            return;
        }
        log().file = file;
        try {
            const auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
            sink->set_pattern("%Y-%m-%d %H:%M:%S.%e " + host_name() +
                              " %L rank=" + std::to_string(log().rank) + " %v");
            log().logger = logger_of({log().logger->sinks().front(), sink});
        } catch (const spdlog::spdlog_ex& error) {
            problem = error.what();
        }
    }
    if (!problem.empty()) {
        log_warning("no_log_file reason=\"" + problem + "\"");
    }
}

void log_info(std::string_view text) noexcept {
    write(spdlog::level::info, text);
}
void log_detail(std::string_view text) noexcept {
    write(spdlog::level::debug, text);
}
void log_warning(std::string_view text) noexcept {
    write(spdlog::level::warn, text);
}

}  // namespace lathe
