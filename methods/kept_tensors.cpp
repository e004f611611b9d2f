#include <algorithm>
#include <array>
#include <vector>

#include "lib/config/yaml_reader.hpp"
#include "methods/dense.hpp"
#include "methods/method.hpp"

// Tensors that belong to no unit: norms, biases, tables of positions. Nothing is known of what they
// read, so they are rounded alone.

namespace lathe {

namespace {

void require_suited(const MethodRow& method, const CandidateEntry& entry,
                    const std::vector<Setting>& settings) {
    UnitSpec none;  // as a unit without inputs
    none.name = "of norms and biases";
    for (const Setting& setting : settings) {
        if (!method.refuses(setting, none, {1}, DType::f32).empty()) {
            refuse_at(entry.place,
                      "kept_tensors: norms, biases and tables have no inputs that errors could be "
                      "weighed with; use solver rtn");
        }
    }
}

}  // namespace

std::vector<Setting> kept_settings(const std::vector<CandidateEntry>& entries) {
    static constexpr std::array<std::string_view, 3> possible{"dense", "integer", "bct"};
    std::vector<Setting> settings;
    for (const CandidateEntry& entry : entries) {
        const MethodRow& method = find_method(entry.method, entry.place.text);
        if (std::ranges::find(possible, method.name) == possible.end()) {
            refuse_at(entry.place, "kept_tensors: method " + entry.method +
                                       " is for matrices; dense, integer and bct are possible");
        }
        const std::vector<Setting> own = method.expand(entry);
        require_suited(method, entry, own);
        std::ranges::copy_if(own, std::back_inserter(settings), [&](const Setting& setting) {
            return std::ranges::find(settings, setting) == settings.end();
        });
    }
    return settings.empty() ? std::vector{source_setting()} : settings;
}

EncodedTensor solve_kept(const Setting& setting, const UnitTensor& tensor,
                         const kernels::Backend& backend) {
    const std::vector<float> row_weights(tensor.weight.rows, 1.0F);
    return find_method(setting.method, "")
        .solve({&setting, 1}, {&tensor, 1}, {{}, row_weights}, backend)
        .at(0)
        .tensors.at(0);
}

}  // namespace lathe
