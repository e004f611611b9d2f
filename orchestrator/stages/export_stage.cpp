#include "orchestrator/export_target.hpp"
#include "orchestrator/exporting.hpp"
#include "orchestrator/stages.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Writes what is not there yet, by any number of ranks.
void write_export(JobRun& run, const ExportOrder& order, const ExportWriter& writer,
                  const std::string& name) {
    std::vector<StageTask> tasks;
    bool has_begun = false;
    for (Task& task : export_tasks(order, writer, name)) {
        StageTask piece;
        piece.artifact = order.directory / writer.piece_file(tasks.size());
        piece.task = std::move(task);
        has_begun = has_begun || run.is_done(piece);
        tasks.push_back(std::move(piece));
    }
    if (!has_begun) {  // what another plan left would be read beside the new files
        run.time_stage("export", [&] { clear_model(order.directory); });
    }
    run.run_stage("export", std::move(tasks));
    run.time_stage("export", [&] { writer.write_frame(order.directory); });
}

void check_export(JobRun& run, const ExportOrder& order, const ModelSpec& spec,
                  const std::string& name) {
    std::vector<StageTask> tasks;
    for (Task& task :
         export_check_tasks(order, spec, "check_" + name + "/" + export_stamp(order.directory))) {
        StageTask check;
        check.task = std::move(task);
        tasks.push_back(std::move(check));
    }
    require_no_problems(order, export_problems(run.run_stage("export", std::move(tasks))));
}

}  // namespace

std::vector<ExportReport> export_checkpoint(JobRun& run, const fs::path& directory) {
    std::vector<ExportReport> reports;
    for (const std::string& format : run.context().job.exports) {
        const ExportOrder order{format, directory, run.run().exported(format)};
        const auto writer = make_export_writer(format, directory);
        const CompressedCheckpoint checkpoint(directory);
        const std::string name =
            (format == "hf" ? "export/" : "export_" + format + "/") +
            text_attribute(checkpoint.attributes(), "checkpoint_hash", directory.string());
        write_export(run, order, *writer, name);
        check_export(run, order, checkpoint.spec(), name);
        reports.push_back({format, order.directory, summary_of(*writer)});
    }
    return reports;
}

}  // namespace lathe
