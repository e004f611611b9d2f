#include "lib/job/budget.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

constexpr const char* forms =
    "expected a ratio to the source (4x), a size (2.74MB, 35GB, 1GiB, 123456) or average bits per "
    "weight (3.5bpw)";

struct Unit {
    std::string_view name;  ///< lower case
    Budget::Kind kind;
    double factor;
};

constexpr std::array units = {
    Unit{"x", Budget::Kind::ratio, 1.0},
    Unit{"bpw", Budget::Kind::bits_per_weight, 1.0},
    Unit{"", Budget::Kind::bytes, 1.0},
    Unit{"b", Budget::Kind::bytes, 1.0},
    Unit{"kb", Budget::Kind::bytes, 1e3},
    Unit{"mb", Budget::Kind::bytes, 1e6},
    Unit{"gb", Budget::Kind::bytes, 1e9},
    Unit{"tb", Budget::Kind::bytes, 1e12},
    Unit{"kib", Budget::Kind::bytes, 1024.0},
    Unit{"mib", Budget::Kind::bytes, 1024.0 * 1024.0},
    Unit{"gib", Budget::Kind::bytes, 1024.0 * 1024.0 * 1024.0},
    Unit{"tib", Budget::Kind::bytes, 1024.0 * 1024.0 * 1024.0 * 1024.0},
};

/// Up to here every whole number is a double.
constexpr double max_bytes = 9007199254740992.0;

/// Rounds down, but a product that misses a whole number only by the rounding of doubles counts as
/// that number: 2.3 * 10^6 is 2300000 bytes.
double whole_bytes(double bytes) {
    const double nearest = std::round(bytes);
    const double slack = 4.0 * std::numeric_limits<double>::epsilon() * bytes;
    return std::abs(bytes - nearest) <= slack ? nearest : std::floor(bytes);
}

std::string shortest(double value) {
    std::array<char, 32> buffer{};
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    return {buffer.data(), result.ptr};
}

[[noreturn]] void refuse(std::string_view text, const std::string& reason) {
    throw UsageError("budget \"" + std::string(text) + "\": " + reason);
}

void require_range(std::string_view text, const Budget& budget) {
    const auto inside = [&](double low, double high) {
        return budget.value >= low && budget.value <= high;
    };
    switch (budget.kind) {
        case Budget::Kind::bytes:
            if (!inside(1.0, max_bytes)) {
                refuse(text, "a size is 1 byte to 2^53 bytes");
            }
            return;
        case Budget::Kind::ratio:
            if (!inside(0.5, 1000.0)) {
                refuse(text, "a ratio is 0.5 to 1000; 4x is a quarter of the source's bytes");
            }
            return;
        case Budget::Kind::bits_per_weight:
            if (!inside(0.01, 64.0)) {
                refuse(text, "bits per weight are 0.01 to 64");
            }
            return;
    }
}

std::string lower_case(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return result;
}

/// A size in the largest decimal unit of which it has whole thousandths, or in bytes.
std::string size_text(double bytes) {
    constexpr std::array<std::string_view, 3> names = {"TB", "GB", "MB"};
    const auto whole = static_cast<std::uint64_t>(bytes);
    // Above 10^15 a double has no digits to spare for a fraction times a unit.
    std::uint64_t unit = whole < 1000000000000000U ? 1000000000000U : 0;
    for (std::size_t i = 0; i < names.size() && unit != 0; ++i, unit /= 1000) {
        if (whole < unit || whole % (unit / 1000) != 0) {
            continue;
        }
        std::string text = std::to_string(whole / unit);
        if (const std::uint64_t thousandths = whole % unit / (unit / 1000); thousandths != 0) {
            std::string decimals = std::to_string(1000 + thousandths).substr(1);
            decimals.erase(decimals.find_last_not_of('0') + 1);
            text += "." + decimals;
        }
        return text + std::string(names[i]);
    }
    return std::to_string(whole);
}

}  // namespace

std::uint64_t Budget::limit_bytes(std::uint64_t source_bytes, std::uint64_t parameters) const {
    const auto limit = [&] {
        switch (kind) {
            case Kind::bytes:
                return value;
            case Kind::ratio:
                return static_cast<double>(source_bytes) / value;
            case Kind::bits_per_weight:
                return static_cast<double>(parameters) * value / 8.0;
        }
        throw InternalError("budget: unknown kind " + std::to_string(static_cast<int>(kind)));
    }();
    if (!(value > 0.0) || !(limit < 0x1p63)) {
        throw InternalError("budget: " + shortest(value) + " gives no limit in bytes");
    }
    return static_cast<std::uint64_t>(whole_bytes(limit));
}

Budget parse_budget(std::string_view text) {
    const char* const end = text.data() + text.size();
    double number = 0.0;
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    // from_chars also reads "inf" and "nan".
    if (error == std::errc::invalid_argument || (error == std::errc{} && !std::isfinite(number))) {
        refuse(text, std::string("not understood; ") + forms);
    }
    if (error != std::errc{}) {
        refuse(text, "the number is out of range");
    }

    std::string_view unit_text(rest, static_cast<std::size_t>(end - rest));
    if (unit_text.size() > 1 && unit_text.front() == ' ') {
        unit_text.remove_prefix(1);
    }
    const auto* const unit =
        std::find_if(units.begin(), units.end(),
                     [name = lower_case(unit_text)](const Unit& u) { return u.name == name; });
    if (unit == units.end()) {
        refuse(text, "unknown unit \"" + std::string(unit_text) + "\"; " + forms);
    }
    if (!(number > 0.0)) {
        refuse(text, std::string("must be above zero; ") + forms);
    }

    Budget budget{unit->kind, number * unit->factor};
    if (budget.kind == Budget::Kind::bytes) {
        if (unit->factor == 1.0 && number != std::floor(number)) {
            refuse(text, std::string("a plain number counts bytes and has no decimals; ") + forms);
        }
        budget.value = whole_bytes(budget.value);
    }
    require_range(text, budget);
    return budget;
}

std::string to_string(const Budget& budget) {
    switch (budget.kind) {
        case Budget::Kind::bytes:
            return size_text(budget.value);
        case Budget::Kind::ratio:
            return shortest(budget.value) + "x";
        case Budget::Kind::bits_per_weight:
            return shortest(budget.value) + "bpw";
    }
    throw InternalError("budget: unknown kind " + std::to_string(static_cast<int>(budget.kind)));
}

}  // namespace lathe
