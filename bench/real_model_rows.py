"""What bench/real_model.py compresses: a name, and the keys of a job that differ from the ones all rows share."""


def integer(bits, **keys):
    words = {"method": "integer", "num_bits": bits, "group_size": 64, "solver": "gptq"} | keys
    return "[{" + ", ".join(f"{key}: {value}" for key, value in words.items()) + "}]"


ASYMMETRIC = {"symmetric": "false", "actorder": "true"}
SMALL = ASYMMETRIC | {"scale_dtype": "float8"}

# What a search chooses from: ADMM where it has something to gain.
FINE = "[" + ", ".join(integer(bits, solver=solver, group_size=groups, **SMALL)[1:-1] for bits, groups, solver in [
    ("[2, 3, 4]", "[32, 64]", "admm"), ("[3, 4]", 128, "admm"), ("[5, 6]", "[32, 64]", "gptq")]) + "]"


def searched(budget):
    """The budget is that of all files: SmolLM2-135M's embedding and tokenizer take 58.5 MB of it."""
    return {"candidates": FINE, "budget": budget, "search.strategy": "knapsack", "search.scores": "gradient"}


# Shares of a feed-forward layer's neurons that stay, each unit dense.
SHARES = "0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.583334, 0.666667, 0.75, 0.833334, 0.916667"
DROPPED = f"[{{method: dense}}, {{method: ffsplit, heavy_fraction: [{SHARES}], heavy: {{method: dense}}, light: dropped}}]"


def fewer_neurons(budget):
    """The budget is that of all files: of a tenth of the parameters less, say."""
    return searched(budget) | {"candidates": DROPPED, "ffsplit.score": "removal"}


def sliced(width):
    """The published order of SliceGPT, to a hidden size of `width` of 576."""
    return {"candidates": "[{method: dense}]", "slice.sparsity": 1 - (width + 1) / 576, "slice.order": "sequential",
            "slice.tables": "own"}


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
    "int3-admm-zeros-order-float8": {"candidates": integer(3, solver="admm", **SMALL)},
    "int3-g32-admm-zeros-order-float8": {"candidates": integer(3, solver="admm", **SMALL | {"group_size": 32})},
    "int4-admm-zeros-order-float8": {"candidates": integer(4, solver="admm", **SMALL)},
    "searched-3.5-bits": searched("104.97MB"),
    "searched-4.04-bits": searched("112.15MB"),
    "searched-4.23-bits": searched("114.67MB"),
    "searched-4.63-bits": searched("120.0MB"),
    "searched-5.53-bits": searched("131.9MB"),
    "bcq3": {"candidates": "[{method: bcq, num_bits: 3, group_size: 128, solver: admm}]"},
    "neurons-10-percent-less": fewer_neurons("244.4MB"),
    "neurons-20-percent-less": fewer_neurons("217.5MB"),
    "neurons-25-percent-less": fewer_neurons("204.0MB"),
    "slice-360": sliced(360),
    "slice-312": sliced(312),
    "slice-288": sliced(288),
    "2:4": {"candidates": "[{method: nm, pattern: '2:4'}]"},
}
