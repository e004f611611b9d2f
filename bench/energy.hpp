#pragma once

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

/// Joules that the processors' packages used since the object was made, as Linux's powercap
/// (intel-rapl, which AMD's processors have too) counts them.
class EnergyMeter {
public:
    explicit EnergyMeter(const std::filesystem::path& root = "/sys/class/powercap") {
        std::error_code error;
        for (const auto& zone : std::filesystem::directory_iterator(root, error)) {
            const std::string name = zone.path().filename().string();
            // "intel-rapl:0" is a package, "intel-rapl:0:1" a part of it.
            const auto begin = read(zone.path() / "energy_uj");
            const auto range = read(zone.path() / "max_energy_range_uj");
            if (name.starts_with("intel-rapl:") && name.find(':') == name.rfind(':') && begin &&
                range) {
                packages_.push_back({zone.path(), *begin, *range});
            }
        }
    }

    /// None where no package reports or may be read. A counter that began anew once is seen as
    /// such: it takes minutes at the least.
    [[nodiscard]] std::optional<double> joules() const {
        double sum = 0.0;
        for (const Package& package : packages_) {
            const auto now = read(package.path / "energy_uj");
            if (!now) {
                return std::nullopt;
            }
            sum += *now - package.begin + (*now < package.begin ? package.range : 0.0);
        }
        return packages_.empty() ? std::nullopt : std::optional(sum * 1e-6);
    }

private:
    struct Package {
        std::filesystem::path path;
        double begin;
        double range;
    };

    static std::optional<double> read(const std::filesystem::path& file) {
        std::ifstream stream(file);
        double value = 0.0;
        return stream >> value ? std::optional(value) : std::nullopt;
    }

    std::vector<Package> packages_;
};

}  // namespace lathe
