#include "lib/core/log.hpp"

#include <memory>
#include <mutex>
#include <set>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace lathe {
namespace {

std::shared_ptr<spdlog::logger>& logger() {
    static std::shared_ptr<spdlog::logger> instance;
    return instance;
}

void write(spdlog::level::level_enum level, std::string_view text) noexcept {
    try {
        if (logger()) {
            logger()->log(level, text);
        }
    } catch (...) {  // NOLINT(bugprone-empty-catch): a line is lost, what it tells of goes on
    }
}

}  // namespace

void start_logging(LogLevel level, int rank) {
    auto instance = std::make_shared<spdlog::logger>(
        "lathe", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    instance->set_pattern("%H:%M:%S %L rank=" + std::to_string(rank) + " %v");
    instance->set_level(level == LogLevel::verbose  ? spdlog::level::debug
                        : level == LogLevel::normal ? spdlog::level::info
                                                    : spdlog::level::warn);
    instance->flush_on(spdlog::level::debug);
    logger() = std::move(instance);
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
