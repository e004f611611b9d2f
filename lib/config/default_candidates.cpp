#include "lib/config/default_candidates.hpp"

#include <string>
#include <utility>

namespace lathe {
namespace {

/// A budget of a quarter of 16 bits, rounded down to a whole byte, is not below 4 bits.
constexpr double four_bits = 3.99;
constexpr double three_bits = 2.99;

CandidateEntry entry(const char* method, std::vector<std::string> num_bits, const char* group_size,
                     const char* solver) {
    const SourcePlace place{"default candidates"};
    return {method,
            {{"num_bits", std::move(num_bits), place},
             {"group_size", {group_size}, place},
             {"solver", {solver}, place}},
            place};
}

}  // namespace

std::vector<CandidateEntry> default_candidates(double bits_per_weight) {
    // At 8 bits nothing is left to gain for ADMM. Embeddings are look-ups without a Gram matrix:
    // only what needs none can do them.
    std::vector<CandidateEntry> candidates{{"dense", {}, {"default candidates"}},
                                           entry("integer", {"2", "3", "4"}, "64", "admm"),
                                           entry("integer", {"8"}, "64", "gptq"),
                                           entry("integer", {"2", "3", "4", "8"}, "64", "rtn")};
    if (bits_per_weight < four_bits) {
        const std::vector<std::string> planes = bits_per_weight < three_bits
                                                    ? std::vector<std::string>{"1", "2", "3"}
                                                    : std::vector<std::string>{"2", "3"};
        candidates.push_back(entry("bcq", planes, "128", "admm"));
        candidates.push_back(entry("bcq", planes, "128", "alternating"));
    }
    return candidates;
}

}  // namespace lathe
