#include "orchestrator/estimate/compression_work.hpp"

#include <algorithm>
#include <utility>

#include "orchestrator/estimate/model_sums.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

/// Lists the tasks of one unit.
class UnitTasks {
public:
    UnitTasks(const JobSizes& sizes, std::size_t u)
        : spec_(sizes.spec),
          unit_(spec_.units[u]),
          settings_(sizes.outline.settings[u]),
          rows_(row_count(spec_, unit_)),
          factor_flops_(factor_cost(spec_, unit_)) {
        const auto width = static_cast<double>(spec_.tensors[unit_.tensors.front()].shape.back());
        triangle_bytes_ = 2.0 * width * width;
        all_.solve = sizes.solver_flops(u).first;
        all_.read = sizes.unit_elements[u] * sizes.bytes_of_element();
        all_.written = static_cast<double>(candidate_bytes(sizes.outline.model, u, settings_));
    }

    [[nodiscard]] WorkTask whole() const {
        Work work = all_;
        work.read += triangle_bytes_;
        return task_of(stage::compress, compression_id(unit_),
                       unit_cost(spec_, unit_, settings_.size()), work);
    }

    [[nodiscard]] std::vector<WorkTask> cut(const std::vector<UnitRows>& cuts) const {
        const SharedFactors shared = shared_factors(settings_).value();
        std::vector<WorkTask> tasks;
        std::vector<std::string> factors;
        for (const ErrorFeedback& feedback : shared.feedbacks) {
            tasks.push_back(factor(feedback));
            factors.push_back(tasks.back().task.id);
        }
        WorkTask join = joining();
        for (const UnitRows& rows : cuts) {
            WorkTask task = piece(shared, rows);
            task.task.after = factors;
            join.task.after.push_back(task.task.id);
            tasks.push_back(std::move(task));
        }
        tasks.push_back(std::move(join));
        return tasks;
    }

private:
    [[nodiscard]] double cost_of(std::size_t rows) const {
        return rows_cost(spec_, unit_, settings_.size(), rows);
    }

    [[nodiscard]] WorkTask factor(const ErrorFeedback& feedback) const {
        Work work;
        work.solve = factor_flops_;
        work.read = triangle_bytes_;
        work.written = triangle_bytes_;
        return task_of(stage::factor, factor_id(unit_, feedback), factor_flops_, work);
    }

    /// Each solver's operations have a factor among them, and 20 times that for ADMM's inverses,
    /// which each piece makes for itself.
    [[nodiscard]] WorkTask piece(const SharedFactors& shared, UnitRows rows) const {
        const double share = static_cast<double>(rows.count) / static_cast<double>(rows_);
        const auto n_factors = static_cast<double>(shared.feedbacks.size());
        const double own = shared.inverses ? 20.0 * factor_flops_ : 0.0;
        Work work;
        work.solve =
            share * std::max(0.0, all_.solve - n_factors * factor_flops_) + (1.0 - share) * own;
        work.read = share * all_.read + triangle_bytes_;
        work.reread = n_factors * triangle_bytes_;
        work.written = share * all_.written;
        return task_of(stage::compress, piece_id(unit_, rows), cost_of(rows.count), work);
    }

    [[nodiscard]] WorkTask joining() const {
        Work work;
        work.reread = all_.written;
        work.written = all_.written;
        return task_of(stage::compress, compression_id(unit_), 0.0, work);
    }

    const ModelSpec& spec_;
    const UnitSpec& unit_;
    const std::vector<Setting>& settings_;
    std::size_t rows_;
    double factor_flops_;
    double triangle_bytes_;  ///< of the Gram matrix, or of a factor, as it is stored
    Work all_;               ///< of the unit but for its Gram matrix
};

}  // namespace

std::vector<WorkTask> compression_work(const JobSizes& sizes, std::size_t unit,
                                       const std::vector<UnitRows>& cuts) {
    const UnitTasks tasks(sizes, unit);
    return cuts.size() == 1 ? std::vector{tasks.whole()} : tasks.cut(cuts);
}

}  // namespace lathe
