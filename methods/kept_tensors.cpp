#include <algorithm>
#include <array>
#include <vector>

#include "lib/config/yaml_reader.hpp"
#include "methods/dense.hpp"
#include "methods/method.hpp"

// Tensors that belong to no unit: norms, biases, tables of positions. Nothing is known of what they
// read, so they are rounded alone.

namespace lathe {

Setting kept_setting(const std::optional<CandidateEntry>& entry) {
    if (!entry) {
        return source_setting();
    }
    const auto refuse = [&](const std::string& why) {
        refuse_at(entry->place, "kept_tensors: " + why);
    };
    static constexpr std::array<std::string_view, 3> possible{"dense", "integer", "bct"};
    const MethodRow& method = find_method(entry->method, entry->place.text);
    if (std::ranges::find(possible, method.name) == possible.end()) {
        refuse("method " + entry->method + " is for matrices; dense, integer and bct are possible");
    }
    const std::vector<Setting> settings = method.expand(*entry);
    if (settings.size() != 1) {
        refuse("stands for " + std::to_string(settings.size()) +
               " settings; all these tensors have one");
    }
    UnitSpec none;  // as a unit without inputs
    none.name = "of norms and biases";
    if (!method.refuses(settings[0], none, {1}, DType::f32).empty()) {
        refuse(
            "norms, biases and tables have no inputs that errors could be weighed with; use "
            "solver rtn");
    }
    return settings[0];
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
