#include "lib/dataset/metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "lib/core/errors.hpp"
#include "lib/dataset/bootstrap.hpp"

namespace lathe {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

template <class Number>
void check(std::string_view name, std::span<const Number> predicted,
           std::span<const Number> actual) {
    if (predicted.empty() || predicted.size() != actual.size()) {
        throw ShapeError(std::string(name) + ": " + std::to_string(predicted.size()) +
                         " predictions for " + std::to_string(actual.size()) +
                         " examples, expected as many, at least one");
    }
}

void check_range(std::string_view name, Labels labels, std::uint32_t n_labels) {
    const std::uint32_t highest = *std::ranges::max_element(labels);
    if (highest >= n_labels) {
        throw ShapeError(std::string(name) + ": label " + std::to_string(highest) +
                         ", expected less than " + std::to_string(n_labels));
    }
}

/// The statistic on all examples, and its standard error.
template <class Number>
Metric bootstrapped(std::string_view name, std::span<const Number> predicted,
                    std::span<const Number> actual,
                    double (*statistic)(std::span<const Number>, std::span<const Number>)) {
    const std::size_t n = predicted.size();
    Metric metric{std::string(name), statistic(predicted, actual), undefined, n};
    if (std::isnan(metric.value) || n == 1) return metric;
    std::vector<Number> drawn_predicted(n);
    std::vector<Number> drawn_actual(n);
    metric.standard_error = bootstrap_standard_error(n, [&](std::span<const std::size_t> indices) {
        for (std::size_t i = 0; i < n; ++i) {
            drawn_predicted[i] = predicted[indices[i]];
            drawn_actual[i] = actual[indices[i]];
        }
        return statistic(drawn_predicted, drawn_actual);
    });
    return metric;
}

double f1_value(Labels predicted, Labels actual) {
    std::size_t both = 0;
    std::size_t either = 0;  // predicted ones plus actual ones
    for (std::size_t i = 0; i < predicted.size(); ++i) {
        both += predicted[i] & actual[i];
        either += predicted[i] + actual[i];
    }
    return either == 0 ? 0.0 : 2.0 * static_cast<double>(both) / static_cast<double>(either);
}

/// (c n - sum_k p_k t_k) / sqrt((n^2 - sum_k p_k^2) (n^2 - sum_k t_k^2)), with c right predictions,
/// p_k predictions and t_k facts of label k. The integers are exact up to 2^31 examples.
double matthews_value(Labels predicted, Labels actual) {
    const std::size_t n_labels =
        1 + std::max(*std::ranges::max_element(predicted), *std::ranges::max_element(actual));
    std::vector<std::int64_t> n_predicted(n_labels);
    std::vector<std::int64_t> n_actual(n_labels);
    std::int64_t n_right = 0;
    for (std::size_t i = 0; i < predicted.size(); ++i) {
        n_right += predicted[i] == actual[i] ? 1 : 0;
        ++n_predicted[predicted[i]];
        ++n_actual[actual[i]];
    }
    const auto n = static_cast<std::int64_t>(predicted.size());
    const auto dot = [](const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
        return std::inner_product(a.begin(), a.end(), b.begin(), std::int64_t{0});
    };
    const std::int64_t covariance = n_right * n - dot(n_predicted, n_actual);
    const std::int64_t predicted_variance = n * n - dot(n_predicted, n_predicted);
    const std::int64_t actual_variance = n * n - dot(n_actual, n_actual);
    if (predicted_variance == 0 || actual_variance == 0) return 0.0;
    return static_cast<double>(covariance) / std::sqrt(static_cast<double>(predicted_variance) *
                                                       static_cast<double>(actual_variance));
}

bool all_finite(Scores values) {
    return std::ranges::all_of(values, [](double value) { return std::isfinite(value); });
}

/// Compared exactly: rounding of the mean would make a little variance of equal numbers.
bool all_equal(Scores values) {
    return std::ranges::all_of(values, [&](double value) { return value == values.front(); });
}

/// Of mean zero, and scaled so that no square overflows or vanishes.
std::vector<double> centred(Scores values) {
    double largest = 0.0;
    for (const double value : values) largest = std::max(largest, std::abs(value));
    std::vector<double> result(values.begin(), values.end());
    for (double& value : result) value /= largest;
    const double mean =
        std::accumulate(result.begin(), result.end(), 0.0) / static_cast<double>(result.size());
    for (double& value : result) value -= mean;
    return result;
}

double pearson_value(Scores predicted, Scores actual) {
    if (!all_finite(predicted) || !all_finite(actual)) return undefined;
    if (all_equal(predicted) || all_equal(actual)) return undefined;
    const std::vector<double> x = centred(predicted);
    const std::vector<double> y = centred(actual);
    const double xy = std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
    const double xx = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
    const double yy = std::inner_product(y.begin(), y.end(), y.begin(), 0.0);
    return std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);
}

/// 1 for the smallest; equal values share the mean of the ranks they take up.
std::vector<double> ranks(Scores values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, {}, [&](std::size_t i) { return values[i]; });
    std::vector<double> result(values.size());
    for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
        while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
        const double rank = static_cast<double>(first + 1 + last) / 2.0;
        for (std::size_t i = first; i < last; ++i) result[order[i]] = rank;
    }
    return result;
}

double spearman_value(Scores predicted, Scores actual) {
    // NaN has no rank.
    if (!all_finite(predicted) || !all_finite(actual)) return undefined;
    return pearson_value(ranks(predicted), ranks(actual));
}

template <class Number>
struct MetricRow {
    std::string_view name;
    Metric (*compute)(std::span<const Number> predicted, std::span<const Number> actual);
};

template <class Number>
std::vector<Metric> compute(std::span<const MetricRow<Number>> rows,
                            std::span<const std::string_view> names,
                            std::span<const Number> predicted, std::span<const Number> actual) {
    std::vector<Metric> metrics;
    for (const std::string_view name : names) {
        const auto row = std::ranges::find(rows, name, &MetricRow<Number>::name);
        if (row == rows.end()) {
            throw InternalError("no metric " + std::string(name) + " for this kind of prediction");
        }
        metrics.push_back(row->compute(predicted, actual));
    }
    return metrics;
}

}  // namespace

Metric accuracy_of_counts(std::string_view name, std::size_t n_right, std::size_t n) {
    if (n == 0 || n_right > n) {
        throw ShapeError(std::string(name) + ": " + std::to_string(n_right) + " right of " +
                         std::to_string(n) + " examples, expected at least one example");
    }
    const double p = static_cast<double>(n_right) / static_cast<double>(n);
    const double error = n == 1 ? undefined : std::sqrt(p * (1.0 - p) / static_cast<double>(n - 1));
    return {std::string(name), p, error, n};
}

Metric accuracy(Labels predicted, Labels actual) {
    check("accuracy", predicted, actual);
    std::size_t n_right = 0;
    for (std::size_t i = 0; i < predicted.size(); ++i) {
        n_right += predicted[i] == actual[i] ? 1 : 0;
    }
    return accuracy_of_counts("accuracy", n_right, predicted.size());
}

Metric f1(Labels predicted, Labels actual) {
    check("f1", predicted, actual);
    check_range("f1", predicted, 2);
    check_range("f1", actual, 2);
    return bootstrapped("f1", predicted, actual, f1_value);
}

Metric matthews(Labels predicted, Labels actual) {
    check("matthews", predicted, actual);
    constexpr std::uint32_t n_labels = 1000;
    check_range("matthews", predicted, n_labels);
    check_range("matthews", actual, n_labels);
    return bootstrapped("matthews", predicted, actual, matthews_value);
}

Metric pearson(Scores predicted, Scores actual) {
    check("pearson", predicted, actual);
    return bootstrapped("pearson", predicted, actual, pearson_value);
}

Metric spearman(Scores predicted, Scores actual) {
    check("spearman", predicted, actual);
    return bootstrapped("spearman", predicted, actual, spearman_value);
}

std::vector<Metric> label_metrics(std::span<const std::string_view> names, Labels predicted,
                                  Labels actual) {
    static constexpr std::array<MetricRow<std::uint32_t>, 3> rows = {{
        {"accuracy", accuracy},
        {"f1", f1},
        {"matthews", matthews},
    }};
    return compute<std::uint32_t>(rows, names, predicted, actual);
}

std::vector<Metric> score_metrics(std::span<const std::string_view> names, Scores predicted,
                                  Scores actual) {
    static constexpr std::array<MetricRow<double>, 2> rows = {{
        {"pearson", pearson},
        {"spearman", spearman},
    }};
    return compute<double>(rows, names, predicted, actual);
}

}  // namespace lathe
