"""What bench/real_model.py compresses: a name, and the keys of a job that differ from the ones all rows share."""


def integer(bits, **keys):
    words = {"method": "integer", "num_bits": bits, "group_size": 64, "solver": "gptq"} | keys
    return "[{" + ", ".join(f"{key}: {value}" for key, value in words.items()) + "}]"


ASYMMETRIC = {"symmetric": "false", "actorder": "true"}

ROWS = {
    "int3-rtn": {"candidates": integer(3, solver="rtn")},
    "int3-gptq": {"candidates": integer(3)},
    "int3-admm": {"candidates": integer(3, solver="admm")},
    "int3-gptq-order": {"candidates": integer(3, actorder="true")},
    "int3-gptq-zeros-order": {"candidates": integer(3, **ASYMMETRIC)},
    "int3-admm-zeros-order": {"candidates": integer(3, solver="admm", **ASYMMETRIC)},
    "int4-gptq": {"candidates": integer(4)},
    "int4-gptq-zeros-order": {"candidates": integer(4, **ASYMMETRIC)},
    "int4-admm-zeros-order": {"candidates": integer(4, solver="admm", **ASYMMETRIC)},
    "bcq3": {"candidates": "[{method: bcq, num_bits: 3, group_size: 128, solver: admm}]"},
    "2:4": {"candidates": "[{method: nm, pattern: '2:4'}]"},
}
