#include "orchestrator/plan_size.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/encoding/dense.hpp"
#include "lib/job/serve_targets.hpp"
#include "orchestrator/serving.hpp"
#include "workers/exports/export_format.hpp"

namespace lathe {

PlanSize PlanSize::of(const JobContext& context, const ModelOutline& model) {
    return {context, model};
}

PlanSize::PlanSize(const JobContext& context, const ModelOutline& model) : model_(&model) {
    if (!context.job.serve) {
        fixed_ = ContainerSize::of(model).fixed_bytes;
        return;
    }
    units_.resize(model.spec.units.size());
    for (std::size_t u = 0; u < units_.size(); ++u) {
        settings_.push_back(settings_of_unit(context, model, u));
    }
    format_ = find_serve_target(context.job.serve->reader)->format;
    count_export();
}

template <class Choose>
PlanSize::Headers PlanSize::headers_under(const Choose& choose) const {
    const ModelSpec& spec = model_->spec;
    Headers headers;
    for (const TensorSpec& tensor : spec.tensors) {
        headers.push_back(dense_outline(tensor.shape));
    }
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const Setting* const setting = choose(u);
        Headers own =
            setting != nullptr ? unit_outlines(spec, spec.units[u], *setting) : without_codes(u);
        for (std::size_t i = 0; i < own.size(); ++i) {
            headers[spec.units[u].tensors[i]] = std::move(own[i]);
        }
    }
    return headers;
}

PlanSize::Headers PlanSize::without_codes(std::size_t unit) const {
    const Setting& first = settings_[unit].front();
    if (neurons_left(first).empty()) {
        return {};
    }
    Headers headers = unit_outlines(model_->spec, model_->spec.units[unit], first);
    for (EncodedTensor& header : headers) {
        EncodedTensor& piece = header.pieces.front();
        piece = dense_outline(piece.shape);
    }
    return headers;
}

void PlanSize::count_export() {
    const ModelSpec& spec = model_->spec;
    const auto writer_under = [&](const auto& choose) {
        return make_export_writer(
            format_, std::make_shared<const ExportedModel>(*model_, headers_under(choose)));
    };
    const auto dense = writer_under([](std::size_t) -> const Setting* { return nullptr; });
    fixed_ = dense->total_bytes();
    for (const UnitSpec& unit : spec.units) {
        for (const std::size_t t : unit.tensors) {
            fixed_ -= dense->tensor_bytes(t);
        }
    }
    std::vector<Setting> distinct;
    for (const std::vector<Setting>& own : settings_) {
        for (const Setting& setting : own) {
            if (std::ranges::find(distinct, setting) == distinct.end()) {
                distinct.push_back(setting);
            }
        }
    }
    // A model whose units all have the same setting tells what each of them takes under it.
    for (const Setting& setting : distinct) {
        const auto writer = writer_under([&](std::size_t u) -> const Setting* {
            return std::ranges::find(settings_[u], setting) == settings_[u].end() ? nullptr
                                                                                  : &setting;
        });
        fixed_ += writer->settings_bytes();
        for (std::size_t u = 0; u < spec.units.size(); ++u) {
            if (std::ranges::find(settings_[u], setting) == settings_[u].end()) {
                continue;
            }
            std::uint64_t& bytes = units_[u][setting];
            for (const std::size_t t : spec.units[u].tensors) {
                bytes += writer->tensor_bytes(t);
            }
        }
    }
}

std::uint64_t PlanSize::unit_bytes(std::size_t unit, const Setting& setting) const {
    const bool is_kept = unit == model_->spec.units.size();
    if (format_.empty()) {
        // Not from settings_: a solver may have settled what they leave open.
        return is_kept ? stored_kept_bytes(*model_, setting)
                       : stored_unit_bytes(*model_, unit, setting);
    }
    if (is_kept) {
        return 0;  // dense in all these formats: part of fixed_
    }
    const auto found = units_.at(unit).find(setting);
    if (found == units_[unit].end()) {
        throw InternalError("unit " + model_->spec.units[unit].name + " has no setting '" +
                            to_string(setting) + "'");
    }
    return found->second;
}

std::uint64_t PlanSize::bytes(const std::vector<Setting>& choice) const {
    std::uint64_t bytes = fixed_;
    for (std::size_t u = 0; u < choice.size(); ++u) {
        bytes += unit_bytes(u, choice[u]);
    }
    return bytes;
}

std::uint64_t PlanSize::exact_bytes(const std::vector<Setting>& choice) const {
    if (format_.empty()) {
        return bytes(choice);
    }
    const auto headers = headers_under([&](std::size_t u) { return &choice.at(u); });
    return make_export_writer(format_, std::make_shared<const ExportedModel>(*model_, headers))
        ->total_bytes();
}

}  // namespace lathe
