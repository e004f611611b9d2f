#include "orchestrator/command_line.hpp"

#include <algorithm>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/dataset/task_table.hpp"
#include "lib/job/export_formats.hpp"
#include "orchestrator/completion.hpp"
#include "orchestrator/paths.hpp"
#include "orchestrator/version_text.hpp"
#include "workers/exports/export_format.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Values of the short options that stand for keys of the job file.
struct ShortOptions {
    std::string model, output, budget, backend, strategy, speedup, kernel_times;
    std::vector<std::string> calibration, evaluate, ignore;
    std::size_t threads = 0;
    bool quiet = false;
    bool verbose = false;
    double max_walltime = 0.0;
};

/// A string as a YAML scalar that nothing in it can break.
std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') {
            result += '\\';
        }
        result += c;
    }
    return result + "\"";
}

std::string task_names() {
    std::string names;
    for (const DatasetTask& task : task_table()) {
        names += (names.empty() ? "" : ", ") + std::string(task.name);
    }
    return names;
}

std::string quoted_list(const std::vector<std::string>& items) {
    std::string result = "[";
    for (const std::string& item : items) {
        result += (result.size() > 1 ? ", " : "") + quoted(item);
    }
    return result + "]";
}

void add_job_options(CLI::App& app, CommandLine& line, ShortOptions& shorts) {
    app.add_option("--set", line.overrides, "Override a key of the job file: a.b=value")
        ->take_all();
    app.add_option("--max-walltime", shorts.max_walltime,
                   "Stop in good order after this many seconds");
}

void add_ignore_option(CLI::App& app, std::vector<std::string>& names) {
    app.add_option("--ignore", names,
                   "Names of parts that stay as they are, and of tensors to pass over; may be "
                   "given several times")
        ->take_all();
}

void add_new_job_options(CLI::App& app, CommandLine& line, ShortOptions& shorts) {
    app.add_option("job", line.path, "Job file (YAML); may be left out if --model is given");
    app.add_option(
           "--preset", line.preset,
           "Begin with a job file that comes with the program: bct-8, bct-48, fewer-neurons")
        ->excludes("job");
    app.add_option("--model", shorts.model,
                   "Hugging Face directory; plan also takes a config.json without weights");
    app.add_option("--output", shorts.output, "Run directory");
    app.add_option("--calibration", shorts.calibration, "Calibration text(s)");
    app.add_option("--evaluate", shorts.evaluate, "Text(s) to measure perplexity on at the end");
    app.add_option("--budget", shorts.budget, "4x, 35GB or 3.5bpw");
    add_ignore_option(app, shorts.ignore);
    add_job_options(app, line, shorts);
}

void add_runtime_options(CLI::App& app, ShortOptions& shorts) {
    app.add_option("--backend", shorts.backend, "reference, cpu or cuda");
    app.add_option("--threads", shorts.threads, "Threads of each rank; 0: processors over ranks");
}

/// The most examples, windows or tokens an option may ask for.
constexpr int most_counted = 1 << 24;

void add_integer_options(CLI::App& app, CommandLine& line) {
    app.add_option_function<std::string>(
        "--integer",
        [&line](const std::string& parts) {
            const std::size_t block_size = line.integer.block_size;
            line.integer = integer_parts_from(parts);
            line.integer.block_size = block_size;
        },
        "Compute on blocks of whole numbers: all, weights (none), or some of embedding, products, "
        "softmax, activation, norm, residual, storage; -NAME takes one away");
    app.add_option("--integer-block", line.integer.block_size,
                   "With --integer: elements that share a shift (64)")
        ->needs("--integer")
        ->check(CLI::Range(16, 1024));
}

void add_eval_options(CLI::App& eval, CommandLine& line) {
    eval.add_option("model", line.path, "Hugging Face or checkpoint directory")->required();
    eval.add_option("--text", line.texts,
                    "Perplexity on text(s): .txt, .jsonl or .h5 of token ids");
    eval.add_option("--chat-template", line.chat_template,
                    "Rows of messages in a .jsonl become texts by the model's template: true, the "
                    "name of one, or a .jinja file");
    auto* const task = eval.add_option("--task", line.task, "Score on a task: " + task_names());
    eval.add_option("--data", line.data, "Labelled file of the task: GLUE's .tsv, else .jsonl")
        ->needs(task);
    eval.add_option("--limit", line.limit,
                    "Use only this many windows of the text or examples of the task")
        ->check(CLI::Range(1, most_counted));
    eval.add_option("--seqlen", line.seqlen,
                    "Tokens of a window (2048), or of a task's sequence (GLUE: 128)")
        ->check(CLI::Range(2, most_counted));
    add_integer_options(eval, line);
    eval.add_option("--kl,--reference", line.reference, "Also the divergence from this model");
    auto* const against =
        eval.add_option("--against", line.against,
                        "Also the difference to this model, window by window or answer by answer");
    eval.add_option("--windows-out", line.windows_out,
                    "Write the figures of each window to this JSON file")
        ->needs(eval.get_option("--text"));
    add_ignore_option(eval, line.reading.ignore);
    auto* const ids = eval.add_option("--ids", line.ids, "HDF5 file with input_ids");
    auto* const logits = eval.add_option("--logits-out", line.logits_out,
                                         "Write the logits of --ids to this HDF5 file");
    eval.add_flag("--hidden", line.hidden, "With --logits-out: hidden states too");
    eval.get_option("--chat-template")->needs(eval.get_option("--text"));
    for (auto* const other : {eval.get_option("--text"), ids, logits}) {
        task->excludes(other);
    }
    eval.get_option("--integer")->excludes(logits);
    against->excludes(ids);
    eval.get_option("--limit")->excludes(ids);
}

void add_generate_options(CLI::App& generate, CommandLine& line) {
    GenerationOptions& options = line.generation;
    generate.add_option("model", line.path, "Hugging Face or checkpoint directory")->required();
    generate.add_option("--prompt", line.prompt, "The text to continue")->required();
    add_ignore_option(generate, line.reading.ignore);
    generate.add_option("--max-new-tokens", options.max_new_tokens, "Stop after this many (128)")
        ->check(CLI::Range(1, most_counted));
    generate.add_option(
        "--temperature", options.temperature,
        "0 (default): always the likeliest token; above 0: sample (1: as the model has it)");
    generate.add_option("--top-p", options.top_p,
                        "Sample from the likeliest tokens that have this probability together (1)");
    generate.add_option("--seed", options.seed, "Seed of the random numbers (0)");
    generate.add_option(
        "--tables", options.tables,
        "Products with compressed weights: fp32 (default), or int8: faster, with the "
        "input rounded to about half a per cent");
    add_integer_options(generate, line);
}

void add_submit_options(CLI::App& submit, CommandLine& line) {
    SubmitOptions& options = line.submit;
    batch::Wishes& wishes = options.wishes;
    constexpr int most_of_anything = 1 << 20;
    const auto count = [&](const char* name, int& value, const char* help) {
        submit.add_option(name, value, help)->check(CLI::Range(1, most_of_anything));
    };
    count("--nodes", wishes.nodes, "Nodes (as many as end the job in time)");
    count("--ntasks-per-node", wishes.ntasks_per_node, "Ranks on each node (1, or one a GPU)");
    count("--cpus-per-task", wishes.cpus_per_task, "Processors of each rank (its share of a node)");
    count("--gpus-per-node", wishes.gpus_per_node, "GPUs on each node");
    submit.add_option("--time", options.time, "Time limit as Slurm writes it (from the plan)");
    submit.add_option("--mem", options.memory,
                      "Memory of a node, as 350G; 0: all of it (from the plan)");
    submit.add_option("--partition", wishes.partition, "Partition");
    submit.add_option("--account", options.account, "Account");
    submit
        .add_option("--launcher", options.launcher,
                    "What starts the ranks on several nodes: srun (needs PMIx) or mpirun")
        ->check(CLI::IsMember({"srun", "mpirun"}));
    submit.add_option("--budgets", line.budgets, "Also checkpoints for these budgets: 3x,6x")
        ->delimiter(',');
    submit.add_option("--site", options.site,
                      "Settings of the cluster ($LATHE_SITE, ~/.config/lathe/site.sh)");
    submit.add_option("--template", options.script_template,
                      "Batch script to fill in (one of slurm/*.sh)");
    submit.add_flag("--dry-run", options.dry_run, "Print the script, do nothing");
    submit.footer("What stands behind -- goes to sbatch: lathe submit job.yaml -- --qos=high");
}

void add_cluster_option(CLI::App& app, CommandLine& line) {
    app.add_option("--cluster", line.simulation.cluster,
                   "Machines to count with: a YAML file of devices, speeds and bandwidths");
}

void add_simulate_options(CLI::App& simulate, CommandLine& line, ShortOptions& shorts) {
    SimulateOptions& options = line.simulation;
    constexpr int most_ranks = 1024;
    constexpr double most_an_hour = 1e6;
    constexpr double most_seconds = 1e9;
    simulate
        .add_option("subject", line.path,
                    "Directory of a run that is done, a job file, or a model or its config.json")
        ->required();
    simulate.add_option("--ranks", options.ranks, "Ranks, one a device")
        ->required()
        ->check(CLI::Range(1, most_ranks));
    add_cluster_option(simulate, line);
    simulate
        .add_option("--costs", options.costs,
                    "Directory of a run on one rank: speeds are those that it measured")
        ->excludes("--cluster");
    simulate
        .add_option("--lost-ranks", options.lost_ranks, "Ranks that are lost in an hour, in all")
        ->check(CLI::Range(0.0, most_an_hour));
    simulate
        .add_option("--preempt", options.preempt_every,
                    "Seconds between two stops of the job by a signal")
        ->check(CLI::Range(0.0, most_seconds));
    simulate
        .add_option("--restart", options.restart_seconds,
                    "Seconds from a stop until the job is started again (60)")
        ->check(CLI::Range(0.0, most_seconds));
    simulate.add_option("--svg", options.svg, "Write a picture of the ranks' time to this file");
    add_ignore_option(simulate, shorts.ignore);
    simulate.add_option("--budget", shorts.budget, "4x, 35GB or 3.5bpw");
    simulate.add_option("--set", line.overrides, "Override a key of the job file: a.b=value")
        ->take_all();
}

void add_search_options(CLI::App& search, CommandLine& line, ShortOptions& shorts) {
    search.add_option("run", line.path, "Run directory")->required();
    search.add_option("--budget", line.budgets, "One or more budgets: 3x,4x")
        ->required()
        ->delimiter(',');
    search.add_flag("--assemble", line.assemble, "Write the checkpoints too");
    search.add_option("--strategy", shorts.strategy,
                      "homogeneous, greedy, knapsack or evolution: each tries more");
    search.add_option("--speedup", shorts.speedup,
                      "How many times as fast products with the plan's weights must be");
    search.add_option("--kernel-times", shorts.kernel_times,
                      "Times of products on the device to be used; else measured here");
    add_runtime_options(search, shorts);
}

void add_export_options(CLI::App& exporter, CommandLine& line) {
    exporter.add_option("checkpoint", line.path, "Directory")->required();
    std::string formats;
    for (const ExportFormat& format : export_format_table()) {
        formats +=
            fmt::format("{}{}: {}", formats.empty() ? "" : "; ", format.name, format.summary);
    }
    exporter.add_option("--format", line.format, formats)
        ->check(CLI::IsMember(
            std::vector<std::string>(export_format_names.begin(), export_format_names.end())));
    exporter.add_option("--output", line.output, "Directory to write, new or empty")->required();
    exporter.add_flag("--check", line.check,
                      "Write nothing: read an export in --output back and compare every tensor");
    exporter.add_flag("--overwrite", line.overwrite,
                      "Remove the model that is in the directory first");
}

/// Runs that one page may show.
constexpr int most_compared = 64;

void add_commands(CLI::App& app, CommandLine& line, ShortOptions& shorts) {
    app.add_flag("--json", line.json, "Print one JSON object on standard output");
    app.add_option("--exit-file", line.exit_file,
                   "Write the exit code to this file at the end: not all launchers pass it on");
    app.add_flag_callback(
        "--log-json", [&] { line.log_format = LogFormat::json; }, "Log lines as JSON objects");
    app.add_flag("-q,--quiet", shorts.quiet, "Warnings only");
    app.add_flag("-v,--verbose", shorts.verbose, "More log lines");
    const auto command = [&](const char* name, const char* help) {
        CLI::App* sub = app.add_subcommand(name, help);
        sub->fallthrough();
        return sub;
    };
    for (auto [name, help] : {std::pair("plan", "Check a job and say what it will take"),
                              std::pair("run", "Run a job, or continue it")}) {
        CLI::App* sub = command(name, help);
        add_new_job_options(*sub, line, shorts);
        add_runtime_options(*sub, shorts);
    }
    add_cluster_option(*app.get_subcommand("plan"), line);
    add_simulate_options(
        *command("simulate", "What a job would take on other ranks, by the real scheduler"), line,
        shorts);
    CLI::App* resume = command("resume", "Continue a run directory");
    resume->add_option("run", line.path, "Run directory")->required();
    add_job_options(*resume, line, shorts);
    add_runtime_options(*resume, shorts);

    CLI::App* submit = command("submit", "Submit a job to Slurm");
    add_new_job_options(*submit, line, shorts);
    add_runtime_options(*submit, shorts);
    add_submit_options(*submit, line);
    CLI::App* cancel = command("cancel", "End a submitted job in good order");
    cancel->add_option("run", line.path, "Run directory")->required();

    CLI::App* status = command("status", "How far a run is");
    status->add_option("run", line.path, "Run directory")->required();
    status->add_flag("--watch", line.watch, "Show it live until the run ends");

    CLI::App* report = command("report", "Write a run's report: one page, for a browser or print");
    report->add_option("run", line.path, "Run directory, of a run that is done or not")->required();
    report->add_option("--output", line.output, "File to write (RUN/report.html)");

    CLI::App* compare = command("compare", "Plans, bytes, quality and times of several runs");
    compare->add_option("runs", line.runs, "Run directories; differences are to the first")
        ->required()
        ->expected(1, most_compared);
    compare->add_option("--output", line.output, "Also write a page to this file");

    add_search_options(
        *command("search", "Plans for other budgets, from a finished run's candidates"), line,
        shorts);

    CLI::App* inspect = command("inspect", "What a model, checkpoint or run directory holds");
    inspect->add_option("path", line.path, "Directory")->required();
    add_ignore_option(*inspect, line.reading.ignore);
    CLI::App* verify = command("verify", "Read a compressed checkpoint back and check every byte");
    verify->add_option("checkpoint", line.path, "Directory")->required();

    add_eval_options(*command("eval", "Perplexity or a task's score of a model or checkpoint"),
                     line);
    add_runtime_options(*app.get_subcommand("eval"), shorts);
    add_generate_options(*command("generate", "Let a language model continue a text"), line);
    add_runtime_options(*app.get_subcommand("generate"), shorts);

    add_export_options(*command("export", "Write a checkpoint in another format"), line);
    app.require_subcommand(1);
}

void fold_short_options(CommandLine& line, const ShortOptions& shorts) {
    const auto set = [&](const char* key, const std::string& value) {
        if (!value.empty() && value != "\"\"" && value != "[]") {
            line.overrides.push_back(std::string(key) + "=" + value);
        }
    };
    set("model", quoted(shorts.model));
    set("output", quoted(shorts.output));
    set("calibration.data", quoted_list(shorts.calibration));
    set("ignore", quoted_list(shorts.ignore));
    set("evaluate.perplexity", quoted_list(shorts.evaluate));
    set("search.strategy", quoted(shorts.strategy));
    set("search.speedup", shorts.speedup);
    set("search.kernel_times", quoted(shorts.kernel_times));
    set("budget", shorts.budget.empty() ? "" : quoted(shorts.budget));
    if (line.command != "eval" && line.command != "generate") {
        set("runtime.backend", shorts.backend);
        if (shorts.threads > 0) {
            set("runtime.threads", std::to_string(shorts.threads));
        }
        if (shorts.max_walltime > 0.0) {
            set("runtime.max_walltime", std::to_string(shorts.max_walltime));
        }
    }
    if (!shorts.backend.empty()) {
        line.runtime.backend = shorts.backend;
    }
    line.model = shorts.model;
    line.runtime.threads = shorts.threads;
    line.log_level = shorts.verbose ? LogLevel::verbose
                     : shorts.quiet ? LogLevel::quiet
                                    : LogLevel::normal;
}

/// What a command reads may be what was installed with the program. Run directories are none.
void find_inputs(CommandLine& line) {
    for (fs::path* path :
         {&line.path, &line.model, &line.reference, &line.data, &line.ids, &line.submit.site,
          &line.submit.script_template, &line.simulation.cluster}) {
        *path = find_input(*path);
    }
    for (fs::path& text : line.texts) {
        text = find_input(text);
    }
}

/// Cuts off what stands behind `--` of a submit command: it is not for this program.
std::vector<std::string> take_sbatch_options(int& argc, const char* const* argv) {
    const std::vector<std::string> arguments(argv, argv + argc);
    const auto end = std::ranges::find(arguments, "--");
    if (std::find(arguments.begin(), end, "submit") == end) {
        return {};
    }
    argc = static_cast<int>(end - arguments.begin());
    return {end == arguments.end() ? end : end + 1, arguments.end()};
}

}  // namespace

std::optional<CommandLine> parse_command_line(int argc, const char* const* argv, bool print) {
    for (int i = 1; i < argc; ++i) {
        require_utf8(argv[i], "argument " + std::to_string(i));
    }
    CLI::App app("Lathe: compresses very large transformers to a budget.", "lathe");
    app.set_version_flag("--version", version_text,
                         "Version, commit, and what the program was compiled with");
    CommandLine line;
    ShortOptions shorts;
    add_commands(app, line, shorts);
    app.add_flag_callback("--bash-completion",
                          [&app] { throw CLI::CallForVersion(bash_completion(app), 0); })
        ->group("");  // for the build: not in the help
    line.submit.sbatch_options = take_sbatch_options(argc, argv);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& success) {
        if (print) {
            app.exit(success);
        }
        return std::nullopt;
    } catch (const CLI::ParseError& error) {
        throw UsageError(std::string(error.what()) + " (lathe --help lists commands and options)");
    }
    line.command = app.get_subcommands().front()->get_name();
    fold_short_options(line, shorts);
    find_inputs(line);
    for (fs::path path : {line.path, line.reference, line.data, line.output}) {
        if (!path.empty()) {
            make_absolute(path, "the path of " + line.command);
        }
    }
    for (fs::path& run : line.runs) {
        make_absolute(run, "a path of " + line.command);
    }
    return line;
}

}  // namespace lathe
