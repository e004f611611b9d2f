#pragma once

#include <string>
#include <vector>

#include "lib/config/job_config.hpp"

namespace lathe {

/// Job files start with the two keys that have no default.
inline const std::string required_keys = "model: m\noutput: o\n";

inline JobConfig read(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
    return read_job(yaml, "job.yaml", overrides);
}

/// A job in which every key differs from its default.
inline const std::string full_job = R"(model: models/a b
output: runs/x
seed: 18446744073709551615
calibration:
  data: [a.txt, "b, c.jsonl"]
  num_calibration_samples: 64
  max_seq_length: 256
slice:
  parameter_reduction: 0.125
  round_interval: 16
  touch_up: 2
  orientation: random
  head: true
  tables: own
  refit: true
budget: {bits_per_weight: 3.5}
candidates:
  - method: nm
    pattern: ["2:4", 4:8]
    note: 'a "quote" \ and: more'
  - {method: integer, num_bits: 3}
  - {method: split, heavy: {method: dense}, light: [{method: nm, n: [1, 2]}, none]}
ignore: [lm_head, "re:.*[0-9]gate"]
ffsplit: {score: frequency}
search:
  evaluation: held.txt
  num_evaluation_samples: 3
refine: sequential
evaluate:
  perplexity: [t1.txt, t2.txt]
  tasks:
    - {task: sst2, data: "dev, all.tsv"}
    - task: piqa
      data: valid.jsonl
      max_seq_length: 300
  max_seq_length: 77
  limit: 12
export: [hf]
runtime:
  backend: reference
  threads: 3
  max_walltime: 01:30:05
  worker_timeout: 12.5
)";

}  // namespace lathe
