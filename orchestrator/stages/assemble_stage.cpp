#include <algorithm>
#include <optional>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/hash.hpp"
#include "lib/model/stream.hpp"
#include "orchestrator/stages.hpp"
#include "orchestrator/version.hpp"
#include "workers/checkpoint/assembly.hpp"
#include "workers/checkpoint/compressed_checkpoint.hpp"
#include "workers/checkpoint/verification.hpp"
#include "workers/model/side_files.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

std::vector<std::optional<std::size_t>> shards_of(const ModelSpec& spec) {
    std::vector<std::optional<std::size_t>> shards{std::nullopt};
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        shards.emplace_back(b);
    }
    return shards;
}

/// The master: what the checkpoint is and where its shards lie. Nothing in it depends on when,
/// where or by how many ranks it was made.
void write_master(const JobRun& run, const SearchResult& plan, const Budget& budget,
                  const fs::path& directory, const std::string& hash,
                  const std::string& fingerprint) {
    const SourceModel& source = run.source();
    const SourceModel& given = run.given_model();
    ArtifactWriter master(directory / "checkpoint.h5");
    master.group("/", {{"format_version", std::int64_t{1}},
                       {"program_version", std::string(program_version)},
                       {"family", source.spec.family},
                       {"parameters", static_cast<std::int64_t>(given.spec.parameters())},
                       {"source_bytes", static_cast<std::int64_t>(given.weights.tensor_bytes())},
                       {"source_dtype", std::string(name(main_dtype(source)))},
                       {"source_fingerprint", to_hex(given.weights.fingerprint())},
                       {"budget", to_string(budget)},
                       {"seed", static_cast<std::int64_t>(run.context().job.seed)},
                       {"checkpoint_hash", hash},
                       {"fingerprint", fingerprint}});
    const std::string text = units_json(source.spec, plan.chosen);
    master.dataset("/plan", DType::u8, {text.size()},
                   reinterpret_cast<const std::byte*>(text.data()));
    for (const auto& block : shards_of(source.spec)) {
        const std::string file = shard_file(block);
        master.external_link("/" + file.substr(0, file.size() - 3), file);
    }
    master.commit();
}

}  // namespace

std::string assemble(JobRun& run, const SearchResult& plan, const Budget& budget,
                     const fs::path& directory) {
    make_directories(directory / "blocks");
    const std::string plan_hash =
        to_hex(hash_text(units_json(run.spec(), plan.chosen) +
                         to_string(plan.chosen.back().setting) + plan.best.plan.refined));
    std::vector<StageTask> tasks;
    std::vector<fs::path> shards;
    for (const auto& block : shards_of(run.spec())) {
        AssemblyTask assembly{block, plan.best.plan.choice, plan.best.plan.refined, directory, ""};
        StageTask task;
        task.task.stage = stage::assemble;
        task.task.id = "assemble/" + plan_hash + "/" + shard_file(block);
        task.artifact = directory / shard_file(block);
        task.fingerprint = run.fingerprint({task.task.id});
        assembly.fingerprint = task.fingerprint;
        task.task.arguments = to_json(assembly);
        shards.push_back(task.artifact);
        tasks.push_back(std::move(task));
    }
    run.run_stage("assemble", std::move(tasks));
    std::string hash;
    run.time_stage("assemble", [&] {
        std::vector<ShardTensor> tensors;
        for (const fs::path& shard : shards) {
            const auto mine = list_shard(shard);
            tensors.insert(tensors.end(), mine.begin(), mine.end());
        }
        hash = checkpoint_hash(std::move(tensors));
        // Left by another width, or by no slicing.
        std::error_code ignored;
        fs::remove(directory / slicing_file, ignored);
        copy_side_files(run.source().directory, directory);
        if (run.source().settled_config) {
            write_file(directory / "config.json", *run.source().settled_config);
        }
        write_master(run, plan, budget, directory, hash, run.fingerprint({"master", plan_hash}));
        write_index(directory);
    });
    const std::uint64_t bytes = directory_bytes(directory);
    // In a job with `serve` it is the export that has to fit, which the plan knows to the byte.
    if (!run.context().job.serve && bytes > plan.limit_bytes) {
        throw InfeasibleError("the files in " + directory.string() + " have " +
                              std::to_string(bytes) + " bytes, the budget is " +
                              std::to_string(plan.limit_bytes) + ", the plan was to take " +
                              std::to_string(plan.best.plan.predicted_bytes) +
                              ": files that are not the checkpoint's count too");
    }
    return hash;
}

void verify(JobRun& run, const fs::path& directory) {
    run.time_stage("verify", [&] {
        const Verification found = verify_checkpoint(directory);
        if (found.ok()) {
            return;
        }
        std::string text = "the checkpoint in " + directory.string() + " does not read back:";
        for (const std::string& name : found.corrupt) {
            text += " corrupt " + name;
        }
        for (const std::string& name : found.missing) {
            text += " missing " + name;
        }
        throw DataError(text);
    });
}

std::uint64_t directory_bytes(const fs::path& directory) {
    std::uint64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        if (entry.is_regular_file()) {
            bytes += entry.file_size();
        }
    }
    return bytes;
}

}  // namespace lathe
