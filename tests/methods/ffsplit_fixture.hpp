#pragma once

#include <cmath>

#include <gtest/gtest.h>

#include "tests/methods/method_fixture.hpp"

namespace lathe::ffsplit_test {

inline constexpr std::size_t neurons = 96;

/// A block with a feed-forward layer of 96 neurons; gate and up apart or in one tensor.
inline ModelSpec feed_forward_spec(bool fused = false) {
    ModelSpec spec;
    spec.intermediate_size = neurons;
    const auto add = [&](const char* unit, Signal input, std::vector<Role> roles) {
        UnitSpec& own = spec.units.emplace_back();
        own.name = unit;
        own.block = 0;
        own.input = input;
        for (const Role role : roles) {
            own.tensors.push_back(spec.tensors.size());
            TensorSpec& tensor = spec.tensors.emplace_back();
            tensor.role = role;
            tensor.block = 0;
        }
    };
    add("o", Signal::attention_out, {Role::o_proj});
    add("gate_up", Signal::mlp_in,
        fused ? std::vector{Role::gate_up_proj} : std::vector{Role::gate_proj, Role::up_proj});
    add("down", Signal::mlp_hidden, {Role::down_proj});
    return spec;
}

enum Unit { o, gate_up, down };

inline CandidateEntry ffsplit(std::vector<std::string> fraction, std::vector<CandidateEntry> heavy,
                              std::vector<CandidateEntry> light) {
    CandidateEntry e =
        entry("ffsplit", {{"heavy_fraction", std::move(fraction)}, {"round_interval", {"8"}}});
    e.keys.push_back({"heavy", {}, {"job.yaml:9:9"}, std::move(heavy)});
    e.keys.push_back({"light", {}, {"job.yaml:10:9"}, std::move(light)});
    return e;
}

inline const CandidateEntry dense = entry("dense", {});
inline const CandidateEntry dropped = entry("dropped", {});
inline const CandidateEntry codes8 = entry("integer", {{"num_bits", {"8"}}, {"solver", {"rtn"}}});
inline const CandidateEntry codes3 = entry("integer", {{"num_bits", {"3"}}, {"solver", {"gptq"}}});
inline const CandidateEntry narrow = entry("low_rank", {{"rank", {"4"}}});

inline std::vector<Setting> settings_of(const CandidateEntry& e, Unit unit, bool fused = false) {
    const ModelSpec spec = feed_forward_spec(fused);
    std::vector<Setting> settings = expand_for_unit({e}, spec, spec.units[unit]);
    EXPECT_EQ(settings.back().method, "dense");  // which every unit has
    settings.pop_back();
    return settings;
}

/// Of neurons of which each holds half of what those before it leave.
inline std::vector<double> halving() {
    std::vector<double> held;
    for (std::size_t n = 1; n <= neurons; ++n) {
        held.push_back(1.0 - std::ldexp(1.0, -static_cast<int>(n)));
    }
    return held;
}

inline CandidateEntry by_energy(std::vector<std::string> energy,
                                std::vector<CandidateEntry> light) {
    CandidateEntry e = ffsplit({"0.5"}, {codes8}, std::move(light));
    e.keys.front() = {"heavy_energy", std::move(energy), {"job.yaml:11:9"}, {}};
    return e;
}

inline std::vector<Setting> settings_of(const CandidateEntry& e, Unit unit,
                                        const std::vector<double>& held) {
    const ModelSpec spec = feed_forward_spec();
    std::vector<Setting> settings = expand_for_unit({e}, spec, spec.units[unit], {&held, 1});
    settings.pop_back();  // dense
    return settings;
}

inline std::string reason(const Setting& setting, Unit unit, const Shape& shape) {
    return find_method("ffsplit", "")
        .refuses(setting, feed_forward_spec().units[unit], shape, DType::f32);
}

}  // namespace lathe::ffsplit_test
