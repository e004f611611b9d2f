#include "lib/config/default_candidates.hpp"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/job/serve_targets.hpp"

namespace lathe {
namespace {

/// A budget of a quarter of 16 bits, rounded down to a whole byte, is not below 4 bits.
constexpr double four_bits = 3.99;
constexpr double three_bits = 2.99;

const SourcePlace place{"default candidates"};

CandidateEntry entry(const char* method, std::vector<std::string> num_bits, const char* group_size,
                     const char* solver) {
    return {method,
            {{"num_bits", std::move(num_bits), place},
             {"group_size", {group_size}, place},
             {"solver", {solver}, place}},
            place};
}

/// Integers with zeros, whose groups take hardly more bytes than without.
CandidateEntry with_zeros(std::vector<std::string> num_bits, const char* solver) {
    CandidateEntry zeros = entry("integer", std::move(num_bits), "64", solver);
    zeros.keys.push_back({"symmetric", {"false"}, place});
    zeros.keys.push_back({"scale_dtype", {"float8"}, place});
    return zeros;
}

}  // namespace

std::vector<CandidateEntry> default_candidates(double bits_per_weight) {
    // At 8 bits nothing is left to gain for ADMM, nor for zeros. Embeddings are look-ups without a
    // Gram matrix: only what needs none can do them.
    CandidateEntry few_bits = with_zeros({"2", "3", "4"}, "admm");
    few_bits.keys.push_back({"actorder", {"true"}, place});
    std::vector<CandidateEntry> candidates{{"dense", {}, place},
                                           std::move(few_bits),
                                           entry("integer", {"8"}, "64", "gptq"),
                                           with_zeros({"2", "3", "4", "8"}, "rtn")};
    if (bits_per_weight < four_bits) {
        const std::vector<std::string> planes = bits_per_weight < three_bits
                                                    ? std::vector<std::string>{"1", "2", "3"}
                                                    : std::vector<std::string>{"2", "3"};
        candidates.push_back(entry("bcq", planes, "128", "admm"));
        candidates.push_back(entry("bcq", planes, "128", "alternating"));
    }
    return candidates;
}

namespace {

const ServeTarget& target_of(const ServeConfig& serve) {
    const ServeTarget* target = find_serve_target(serve.reader);
    if (target == nullptr) {
        throw InternalError("no program \"" + serve.reader + "\" to serve for");
    }
    return *target;
}

std::vector<std::string> texts(std::span<const std::string_view> views) {
    return {views.begin(), views.end()};
}

}  // namespace

std::vector<CandidateEntry> served_candidates(const ServeConfig& serve) {
    std::vector<CandidateEntry> candidates{{"dense", {}, place}};
    for (const ServedCandidates& own : target_of(serve).candidates) {
        if (own.is_low && !serve.low_bits) {
            continue;
        }
        candidates.push_back({"integer",
                              {{"num_bits", texts(own.num_bits), place},
                               {"group_size", texts(own.group_sizes), place},
                               {"solver", {std::string(own.solver)}, place}},
                              place});
    }
    return candidates;
}

void state_scale_bits(const ServeConfig& serve, std::vector<CandidateEntry>& candidates) {
    const unsigned scale_bits = target_of(serve).scale_bits;
    if (scale_bits == 0) {
        return;
    }
    for (CandidateEntry& entry : candidates) {
        const bool has_one = std::ranges::any_of(
            entry.keys, [](const auto& key) { return key.name == "scale_bits"; });
        if (entry.method == "integer" && !has_one) {
            entry.keys.push_back({"scale_bits", {std::to_string(scale_bits)}, entry.place});
        }
    }
}

}  // namespace lathe
