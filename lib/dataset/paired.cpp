#include "lib/dataset/paired.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/students_t.hpp>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

void require_same(const char* what, std::size_t a, std::size_t b) {
    if (a != b) {
        throw ShapeError(std::string(what) + ": " + std::to_string(a) + " and " +
                         std::to_string(b) + " of them");
    }
}

/// Of a value at least as far from 0 as t.
double two_sided(double t, double degrees_of_freedom) {
    const boost::math::students_t_distribution<double> student(degrees_of_freedom);
    return 2.0 * boost::math::cdf(boost::math::complement(student, std::abs(t)));
}

}  // namespace

GroupMean mean_of_groups(std::span<const double> sums, std::span<const double> counts) {
    require_same("sums and counts", sums.size(), counts.size());
    const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
    if (!(total > 0.0)) {
        throw ShapeError("a mean over no tokens and no examples");
    }
    const double mean = std::accumulate(sums.begin(), sums.end(), 0.0) / total;
    double squares = 0.0;
    for (std::size_t g = 0; g < sums.size(); ++g) {
        const double residual = sums[g] - mean * counts[g];
        squares += residual * residual;
    }
    const auto n = static_cast<double>(sums.size());
    return {mean, sums.size() < 2 ? not_a_number : std::sqrt(squares * n / (n - 1.0)) / total};
}

PairedDifference paired_difference(std::span<const double> a, std::span<const double> b,
                                   std::span<const double> counts) {
    require_same("paired sums", a.size(), b.size());
    std::vector<double> differences;
    std::transform(a.begin(), a.end(), b.begin(), std::back_inserter(differences), std::minus<>());
    const GroupMean mean = mean_of_groups(differences, counts);
    PairedDifference result{mean.value, mean.standard_error, 0.0, 1.0, a.size()};
    if (mean.value == 0.0 && mean.standard_error == 0.0) {
        return result;
    }
    if (!(mean.standard_error > 0.0)) {
        result.t = not_a_number;
        result.p_value = not_a_number;
        return result;
    }
    result.t = mean.value / mean.standard_error;
    result.p_value = two_sided(result.t, static_cast<double>(a.size()) - 1.0);
    return result;
}

double half_of_interval_95(double standard_error, std::size_t groups) {
    if (groups < 2) {
        return not_a_number;
    }
    const boost::math::students_t_distribution<double> student(static_cast<double>(groups) - 1.0);
    return standard_error * boost::math::quantile(boost::math::complement(student, 0.025));
}

AnswerPairs compare_answers(const std::vector<bool>& a, const std::vector<bool>& b) {
    require_same("paired answers", a.size(), b.size());
    AnswerPairs pairs;
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t& count =
            a[i] ? (b[i] ? pairs.both : pairs.only_a) : (b[i] ? pairs.only_b : pairs.neither);
        ++count;
    }
    const std::size_t differing = pairs.only_a + pairs.only_b;
    if (differing > 0) {
        const boost::math::binomial_distribution<double> coin(static_cast<double>(differing), 0.5);
        const auto fewer = static_cast<double>(std::min(pairs.only_a, pairs.only_b));
        pairs.p_value = std::min(1.0, 2.0 * boost::math::cdf(coin, fewer));
    }
    return pairs;
}

}  // namespace lathe
