#include "tests/workers/network/exact_forward.hpp"

#include <algorithm>
#include <cmath>

#include "tests/support/activated.hpp"

namespace lathe {
namespace {

/// A row for each token of one sequence.
using Rows = std::vector<std::vector<double>>;

class Model {
public:
    Model(const ModelSpec& spec, const std::function<std::vector<double>(std::size_t)>& values)
        : spec_(spec), values_(values) {}

    std::vector<double> logits(const std::vector<std::uint32_t>& ids) {
        Rows x = embed(ids);
        for (block_ = 0; *block_ < spec_.n_blocks; ++*block_) {
            const bool is_parallel = spec_.form == BlockForm::parallel;
            const Rows input = x;
            const Rows attended = attention(norm(input, Role::attention_norm));
            if (is_parallel) {
                const bool own = spec_.is_sliced() || spec_.has(Role::mlp_norm, block_);
                const Rows fed =
                    feed_forward(norm(input, own ? Role::mlp_norm : Role::attention_norm));
                x = sum(sum(shortcut(input, Role::mlp_shortcut), attended), fed);
            } else {
                x = sum(shortcut(input, Role::attention_shortcut), attended);
                x = sum(shortcut(x, Role::mlp_shortcut), feed_forward(norm(x, Role::mlp_norm)));
            }
        }
        block_.reset();
        x = norm(x, Role::final_norm);
        if (spec_.has(Role::head_projection, block_)) {
            x = linear(x, Role::head_projection);
        }
        std::vector<double> all;
        for (const auto& row : linear(x, spec_.tied_head ? Role::token_embedding : Role::lm_head)) {
            all.insert(all.end(), row.begin(), row.end());
        }
        return all;
    }

private:
    [[nodiscard]] std::vector<double> tensor(Role role, bool is_bias = false) const {
        const auto index = spec_.find(role, block_, is_bias);
        return index ? values_(*index) : std::vector<double>();
    }

    static Rows sum(Rows a, const Rows& b) {
        for (std::size_t t = 0; t < a.size(); ++t) {
            std::ranges::transform(a[t], b[t], a[t].begin(), std::plus<>());
        }
        return a;
    }

    Rows embed(const std::vector<std::uint32_t>& ids) {
        block_.reset();
        const std::vector<double> tokens = tensor(Role::token_embedding);
        const std::vector<double> positions = tensor(Role::position_embedding);
        const std::size_t table_width = tokens.size() / spec_.vocab_size;
        Rows x(ids.size());
        for (std::size_t t = 0; t < ids.size(); ++t) {
            const auto row = tokens.begin() + static_cast<std::ptrdiff_t>(ids[t] * table_width);
            x[t].assign(row, row + static_cast<std::ptrdiff_t>(table_width));
        }
        if (spec_.has(Role::embedding_projection, block_)) {
            x = linear(x, Role::embedding_projection);
        }
        const std::size_t width = spec_.stream_width(0);
        for (std::size_t t = 0; t < ids.size() && !positions.empty(); ++t) {
            for (std::size_t j = 0; j < width; ++j) {
                x[t][j] += positions[(t + spec_.position_offset) * width + j];
            }
        }
        return x;
    }

    [[nodiscard]] Rows linear(const Rows& x, Role role) const {
        const std::vector<double> weight = tensor(role);
        const std::vector<double> bias = tensor(role, true);
        const std::size_t in = x.front().size();
        const std::size_t out = weight.size() / in;
        Rows y(x.size(), std::vector<double>(out, 0.0));
        for (std::size_t t = 0; t < x.size(); ++t) {
            for (std::size_t i = 0; i < out; ++i) {
                y[t][i] = bias.empty() ? 0.0 : bias[i];
                for (std::size_t j = 0; j < in; ++j) {
                    y[t][i] += weight[i * in + j] * x[t][j];
                }
            }
        }
        return y;
    }

    [[nodiscard]] Rows shortcut(const Rows& x, Role role) const {
        return spec_.has(role, block_) ? linear(x, role) : x;
    }

    [[nodiscard]] Rows norm(Rows x, Role role) const {
        const std::vector<double> weight = tensor(role);
        const std::vector<double> bias = tensor(role, true);
        for (std::vector<double>& row : x) {
            double mean = 0.0;
            for (const double value : row) {
                mean += value / static_cast<double>(row.size());
            }
            const bool centres = !spec_.is_sliced() && spec_.norm == NormKind::layer;
            double squares = 0.0;
            for (double& value : row) {
                value -= centres ? mean : 0.0;
                squares += value * value / static_cast<double>(spec_.hidden_size);
            }
            for (std::size_t j = 0; j < row.size(); ++j) {
                row[j] /= std::sqrt(squares + double{spec_.norm_epsilon});
                row[j] =
                    row[j] * (weight.empty() ? 1.0 : weight[j]) + (bias.empty() ? 0.0 : bias[j]);
            }
        }
        return x;
    }

    void turn(Rows& x) const {
        const std::size_t pairs = spec_.rope.inv_freq.size();
        for (std::size_t t = 0; t < x.size(); ++t) {
            for (std::size_t head = 0; head < x[t].size(); head += spec_.head_dim) {
                for (std::size_t i = 0; i < pairs; ++i) {
                    const double angle = static_cast<double>(t) * spec_.rope.inv_freq[i];
                    const double cosine = std::cos(angle) * spec_.rope.attention_factor;
                    const double sine = std::sin(angle) * spec_.rope.attention_factor;
                    double& first = x[t][head + i];
                    double& second = x[t][head + pairs + i];
                    const double a = first * cosine - second * sine;
                    second = second * cosine + first * sine;
                    first = a;
                }
            }
        }
    }

    [[nodiscard]] Rows attention(const Rows& x) const {
        Rows q = linear(x, Role::q_proj);
        Rows k = linear(x, Role::k_proj);
        const Rows v = linear(x, Role::v_proj);
        turn(q);
        turn(k);
        const std::size_t d = spec_.head_dim;
        Rows mixed(x.size(), std::vector<double>(q.front().size(), 0.0));
        for (std::size_t head = 0; head < spec_.n_heads; ++head) {
            const std::size_t kv = head / (spec_.n_heads / spec_.n_kv_heads);
            for (std::size_t t = 0; t < x.size(); ++t) {
                std::vector<double> shares(t + 1);
                double total = 0.0;
                for (std::size_t s = 0; s <= t; ++s) {
                    double score = 0.0;
                    for (std::size_t j = 0; j < d; ++j) {
                        score += q[t][head * d + j] * k[s][kv * d + j];
                    }
                    shares[s] = std::exp(score / std::sqrt(static_cast<double>(d)));
                    total += shares[s];
                }
                for (std::size_t s = 0; s <= t; ++s) {
                    for (std::size_t j = 0; j < d; ++j) {
                        mixed[t][head * d + j] += shares[s] / total * v[s][kv * d + j];
                    }
                }
            }
        }
        return linear(mixed, Role::o_proj);
    }

    [[nodiscard]] Rows feed_forward(const Rows& x) const {
        Rows up = linear(x, Role::up_proj);
        const bool is_gated = spec_.has(Role::gate_proj, block_);
        const Rows gate = is_gated ? linear(x, Role::gate_proj) : Rows();
        for (std::size_t t = 0; t < up.size(); ++t) {
            for (std::size_t j = 0; j < up[t].size(); ++j) {
                up[t][j] = is_gated ? test_data::activated(spec_.activation, gate[t][j]) * up[t][j]
                                    : test_data::activated(spec_.activation, up[t][j]);
            }
        }
        return linear(up, Role::down_proj);
    }

    const ModelSpec& spec_;
    const std::function<std::vector<double>(std::size_t)>& values_;
    std::optional<std::size_t> block_;
};

}  // namespace

std::vector<double> exact_logits(const ModelSpec& spec,
                                 const std::function<std::vector<double>(std::size_t)>& values,
                                 const TokenSequences& samples) {
    Model model(spec, values);
    std::vector<double> all;
    std::size_t first = 0;
    for (const std::uint32_t length : samples.lengths) {
        const auto begin = samples.ids.begin() + static_cast<std::ptrdiff_t>(first);
        const std::vector<double> logits = model.logits({begin, begin + length});
        all.insert(all.end(), logits.begin(), logits.end());
        first += length;
    }
    return all;
}

}  // namespace lathe
