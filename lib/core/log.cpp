#include "lib/core/log.hpp"

#include <memory>
#include <mutex>
#include <set>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "lib/core/host_name.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

/// The program's logger. Threads log while log_to_file() adds the file.
struct Log {
    std::mutex mutex;
    std::shared_ptr<spdlog::logger> logger;
    std::filesystem::path file;
    int rank = 0;
    LogFormat format = LogFormat::text;
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

/// The event as a JSON string: %* in a pattern.
class JsonText final : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
                spdlog::memory_buf_t& to) override {
        const std::string text(message.payload.data(), message.payload.size());
        const std::string quoted =
            nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
        to.append(quoted.data(), quoted.data() + quoted.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<JsonText>();
    }
};

/// `text_pattern` counts unless the format is JSON.
void set_pattern(spdlog::sinks::sink& sink, const std::string& text_pattern) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<JsonText>('*').set_pattern(
        log().format == LogFormat::text
            ? text_pattern
            : R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","host":")" + host_name() + R"(","rank":)" +
                  std::to_string(log().rank) + R"(,"level":"%l","event":%*})");
    sink.set_formatter(std::move(formatter));
}

std::shared_ptr<spdlog::logger> logger_of(std::vector<spdlog::sink_ptr> sinks) {
    auto logger = std::make_shared<spdlog::logger>("lathe", sinks.begin(), sinks.end());
    logger->set_level(spdlog::level::debug);  // each sink has its own
    logger->flush_on(spdlog::level::debug);
    return logger;
}

}  // namespace

void start_logging(LogLevel level, int rank, LogFormat format) {
    const auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_level(level_of(level));
    const std::lock_guard lock(log().mutex);
    log().rank = rank;
    log().format = format;
    log().file.clear();
    set_pattern(*sink, "%H:%M:%S %L rank=" + std::to_string(rank) + " %v");
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
            set_pattern(*sink, "%Y-%m-%d %H:%M:%S.%e " + host_name() +
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
void log_warning_once(const std::string& text) {
    static std::mutex mutex;
    static std::set<std::string> written;
    const std::scoped_lock lock(mutex);
    if (written.insert(text).second) {
        log_warning(text);
    }
}

}  // namespace lathe
