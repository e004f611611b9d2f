#include "lib/job/serve_targets.hpp"

#include <algorithm>
#include <array>

// What the programs take, and where that was read: design notes in docs/serving.md.

namespace lathe {
namespace {

using Names = std::string_view;

constexpr std::array<unsigned, 2> bits_4_8{4, 8};
constexpr std::array<unsigned, 1> bits_4{4};
constexpr std::array<unsigned, 4> bits_2_3_5_6{2, 3, 5, 6};
constexpr std::array<unsigned, 7> bits_2_to_8{2, 3, 4, 5, 6, 7, 8};
constexpr std::array<unsigned, 6> bits_of_mlx{2, 3, 4, 5, 6, 8};

constexpr std::array<Names, 1> text_2{"2"};
constexpr std::array<Names, 1> text_4{"4"};
constexpr std::array<Names, 1> text_8{"8"};
constexpr std::array<Names, 2> text_3_6{"3", "6"};
constexpr std::array<Names, 2> text_4_5{"4", "5"};
constexpr std::array<Names, 3> text_4_5_8{"4", "5", "8"};
constexpr std::array<Names, 3> text_2_3_4{"2", "3", "4"};
constexpr std::array<Names, 4> text_2_3_4_8{"2", "3", "4", "8"};
constexpr std::array<Names, 4> text_2_3_5_6{"2", "3", "5", "6"};
constexpr std::array<Names, 1> groups_32{"32"};
constexpr std::array<Names, 1> groups_64{"64"};
constexpr std::array<Names, 1> groups_256{"256"};
constexpr std::array<Names, 2> groups_64_128{"64", "128"};

// vLLM 0.32: Marlin (from Turing on) for the first two rows; the package humming for the third.
constexpr std::array vllm_codes{ServedCodes{bits_4_8, true}, ServedCodes{bits_4, false},
                                ServedCodes{bits_2_3_5_6, true, true}};
constexpr std::array<std::size_t, 3> vllm_groups{32, 64, 128};
constexpr std::array<Names, 2> no_path_in_vllm{"phi", "gpt_neox"};
constexpr std::array vllm_candidates{ServedCandidates{text_4, groups_64_128, "admm"},
                                     ServedCandidates{text_8, groups_64_128, "gptq"},
                                     ServedCandidates{text_2_3_5_6, groups_64, "admm", true}};

// Transformers 5.24 with compressed-tensors 0.18 to 0.20, which fails to load zeros.
constexpr std::array transformers_codes{ServedCodes{bits_2_to_8, true}};
constexpr std::array transformers_candidates{ServedCandidates{text_2_3_4, groups_64, "admm"},
                                             ServedCandidates{text_8, groups_64, "gptq"}};

// Blocks of llama.cpp repeat a group's scale, so the smallest groups that a type takes are free.
// Embeddings are look-ups: only rtn can do them.
constexpr std::array gguf_candidates{
    ServedCandidates{text_2, groups_64, "admm"},    ServedCandidates{text_3_6, groups_256, "admm"},
    ServedCandidates{text_4_5, groups_32, "admm"},  ServedCandidates{text_8, groups_32, "gptq"},
    ServedCandidates{text_4_5_8, groups_32, "rtn"}, ServedCandidates{text_3_6, groups_256, "rtn"}};

// Scales in float32, which zeros take, make MLX compute in float32.
constexpr std::array mlx_codes{ServedCodes{bits_of_mlx, true}};
constexpr std::array mlx_candidates{ServedCandidates{text_2_3_4, groups_64, "admm"},
                                    ServedCandidates{text_8, groups_64, "gptq"},
                                    ServedCandidates{text_2_3_4_8, groups_64, "rtn"}};

constexpr std::array targets{
    ServeTarget{.name = "vllm",
                .format = "compressed-tensors",
                .families_without_path = no_path_in_vllm,
                .codes = vllm_codes,
                .group_sizes = vllm_groups,
                .row_multiple = 64,
                .column_multiple = 64,
                .slice_multiple = 128,
                .splits_layers = true,
                .low_bits = "humming",
                .scale_bits = 8,
                .candidates = vllm_candidates},
    ServeTarget{.name = "transformers",
                .format = "compressed-tensors",
                .families_without_path = {},
                .codes = transformers_codes,
                .group_sizes = {},
                .slice_multiple = 64,
                .low_bits = "",
                .candidates = transformers_candidates},
    ServeTarget{.name = "gguf",
                .format = "gguf",
                .families_without_path = {},
                .codes = {},
                .group_sizes = {},
                .slice_multiple = 32,
                .heads_divide_width = false,
                .low_bits = "",
                .candidates = gguf_candidates},
    ServeTarget{.name = "mlx",
                .format = "mlx",
                .families_without_path = {},
                .codes = mlx_codes,
                .group_sizes = {},
                .slice_multiple = 64,
                .low_bits = "",
                .candidates = mlx_candidates},
};

}  // namespace

std::span<const ServeTarget> serve_targets() {
    return targets;
}

const ServeTarget* find_serve_target(std::string_view name) {
    const auto* const found = std::ranges::find(targets, name, &ServeTarget::name);
    return found == targets.end() ? nullptr : found;
}

std::string list_serve_targets() {
    std::string list;
    for (const ServeTarget& target : targets) {
        list += (list.empty() ? "" : ", ") + std::string(target.name);
    }
    return list;
}

}  // namespace lathe
