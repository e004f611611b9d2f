#include "workers/exports/gguf/reader.hpp"

#include <cmath>
#include <cstring>
#include <set>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/tokenizer/checkpoint_tokenizer.hpp"
#include "workers/exports/gguf/dequantise.hpp"
#include "workers/exports/gguf/file_reader.hpp"

namespace lathe {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// llama.cpp's names (src/llama-arch.cpp), by what Lathe calls a role.
const std::map<std::string, std::string, std::less<>>& names_of_roles() {
    static const std::map<std::string, std::string, std::less<>> names{
        {"token_embedding", "token_embd"},
        {"position_embedding", "position_embd"},
        {"embedding_norm", "token_embd_norm"},
        {"final_norm", "output_norm"},
        {"lm_head", "output"},
        {"attention_norm", "blk.%.attn_norm"},
        {"qkv_proj", "blk.%.attn_qkv"},
        {"q_proj", "blk.%.attn_q"},
        {"k_proj", "blk.%.attn_k"},
        {"v_proj", "blk.%.attn_v"},
        {"q_norm", "blk.%.attn_q_norm"},
        {"k_norm", "blk.%.attn_k_norm"},
        {"o_proj", "blk.%.attn_output"},
        {"mlp_norm", "blk.%.ffn_norm"},
        {"gate_proj", "blk.%.ffn_gate"},
        {"up_proj", "blk.%.ffn_up"},
        {"down_proj", "blk.%.ffn_down"}};
    return names;
}

std::string name_in_file(const TensorSpec& tensor) {
    const auto found = names_of_roles().find(name(tensor.role));
    if (found == names_of_roles().end()) {
        throw DataError("llama.cpp has no name for " + tensor.name);
    }
    std::string text = found->second + (tensor.is_bias ? ".bias" : ".weight");
    if (const auto place = text.find('%'); place != std::string::npos) {
        text.replace(place, 1, std::to_string(tensor.block.value_or(0)));
    }
    return text;
}

/// The file's row that is row `i` of the model's tensor. llama.cpp rotates elements 2i and 2i + 1
/// of a head in architecture "llama", where the model rotates i and i + d / 2; of fused q, k and v
/// it takes all heads of q first, where some models have q, k and v of each head side by side.
std::size_t row_in_file(const std::string& architecture, const ModelSpec& spec,
                        const TensorSpec& tensor, std::size_t i) {
    const std::size_t d = spec.head_dim;
    if (architecture == "llama" && (tensor.role == Role::q_proj || tensor.role == Role::k_proj)) {
        const std::size_t half = i % d / (d / 2);
        return i / d * d + 2 * (i % d % (d / 2)) + half;
    }
    if (tensor.role == Role::qkv_proj && (architecture == "bloom" || architecture == "gptneox")) {
        const std::size_t head = i / (3 * d);
        const std::size_t part = i / d % 3;
        return (part * spec.n_heads + head) * d + i % d;
    }
    return i;
}

class GgufReader final : public ExportReader {
public:
    explicit GgufReader(const fs::path& directory)
        : file_(gguf::FoundFile::read(directory / "model.gguf")) {}

    [[nodiscard]] std::vector<std::string> problems(const ExportedModel& model) const override {
        std::vector<std::string> all;
        const ModelSpec& spec = model.spec();
        std::set<std::string> expected;
        for (const TensorSpec& tensor : spec.tensors) {
            expected.insert(name_in_file(tensor));
        }
        if (spec.rope.kind == "llama3") {
            expected.insert("rope_freqs.weight");
        }
        for (const std::string& name : expected) {
            if (!file_.tensors.contains(name)) {
                all.push_back("there is no tensor " + name);
            }
        }
        for (const auto& [name, tensor] : file_.tensors) {
            if (!expected.contains(name)) {
                all.push_back("the tensor " + name + " belongs to no part of the model");
            }
        }
        check_keys(model, all);
        check_frequencies(spec, all);
        check_tokens(model, all);
        return all;
    }

    [[nodiscard]] ReadTensor read(const ExportedModel& model, std::size_t t) const override {
        const TensorSpec& spec = model.spec().tensors.at(t);
        const auto found = file_.tensors.find(name_in_file(spec));
        if (found == file_.tensors.end()) {
            throw DataError("there is no tensor " + name_in_file(spec));
        }
        const gguf::FoundTensor& tensor = found->second;
        const std::vector<float> stored = gguf::dequantise(tensor.type, tensor.bytes);
        ReadTensor read{{tensor.extents.rbegin(), tensor.extents.rend()},
                        std::vector<float>(stored.size()),
                        std::nullopt};
        if (tensor.type == 0) {
            read.dense = DType::f32;
        } else if (tensor.type == 1 || tensor.type == 30) {
            read.dense = tensor.type == 1 ? DType::f16 : DType::bf16;
        }
        const std::size_t rows = read.shape.front();
        const std::size_t cols = stored.size() / rows;
        for (std::size_t i = 0; i < rows; ++i) {
            std::memcpy(read.values.data() + i * cols,
                        stored.data() + row_in_file(architecture(), model.spec(), spec, i) * cols,
                        cols * sizeof(float));
        }
        return read;
    }

private:
    [[nodiscard]] json key(const std::string& name) const {
        const auto found = file_.keys.find(name);
        return found == file_.keys.end() ? json() : found->second;
    }
    [[nodiscard]] std::string architecture() const {
        const json name = key("general.architecture");
        return name.is_string() ? name.get<std::string>() : "";
    }

    void expect(const std::string& name, const json& value, std::vector<std::string>& all) const {
        if (const json found = key(name); found != value) {
            all.push_back("the key " + name + " is " + found.dump() + ", expected " + value.dump());
        }
    }

    void check_keys(const ExportedModel& model, std::vector<std::string>& all) const {
        static const std::map<std::string, std::string, std::less<>> architectures{
            {"llama", "llama"}, {"mistral", "llama"}, {"qwen2", "qwen2"}, {"qwen3", "qwen3"},
            {"gpt2", "gpt2"},   {"phi", "phi2"},      {"bloom", "bloom"}, {"gpt_neox", "gptneox"}};
        // As the model that is left says it, where neurons were dropped.
        const ModelSpec spec = read_model_spec(model.config(), "config.json");
        const auto known = architectures.find(spec.family);
        if (known == architectures.end()) {
            all.push_back("llama.cpp has no architecture for family " + spec.family);
            return;
        }
        const std::string& a = known->second;
        expect("general.architecture", a, all);
        expect("general.quantization_version", 2, all);
        expect(a + ".context_length", spec.max_positions, all);
        expect(a + ".embedding_length", spec.hidden_size, all);
        expect(a + ".block_count", spec.n_blocks, all);
        expect(a + ".feed_forward_length", spec.intermediate_size, all);
        expect(a + ".attention.head_count", spec.n_heads, all);
        expect(a + ".attention.head_count_kv", spec.n_kv_heads, all);
        expect(a + ".vocab_size", spec.vocab_size, all);
        const bool rms = spec.norm == NormKind::rms;
        expect(a + (rms ? ".attention.layer_norm_rms_epsilon" : ".attention.layer_norm_epsilon"),
               spec.norm_epsilon, all);
        // Without these a head has embedding_length / head_count elements.
        if (spec.head_dim * spec.n_heads != spec.hidden_size) {
            expect(a + ".attention.key_length", spec.head_dim, all);
            expect(a + ".attention.value_length", spec.head_dim, all);
        }
        if (!spec.rope.inv_freq.empty()) {
            expect(a + ".rope.dimension_count", 2 * spec.rope.inv_freq.size(), all);
            expect(a + ".rope.freq_base", static_cast<float>(spec.rope.theta), all);
        }
        if (spec.family == "gpt_neox") {
            expect(a + ".use_parallel_residual", spec.form == BlockForm::parallel, all);
        }
    }

    /// Rotary frequencies as llama.cpp makes them of base, factor and divisors.
    void check_frequencies(const ModelSpec& spec, std::vector<std::string>& all) const {
        const std::size_t n = spec.rope.inv_freq.size();
        const json factor = key(architecture() + ".rope.scaling.factor");
        std::vector<float> divisors(n, factor.is_number() ? factor.get<float>() : 1.0F);
        if (const auto found = file_.tensors.find("rope_freqs.weight");
            found != file_.tensors.end()) {
            divisors = gguf::dequantise(found->second.type, found->second.bytes);
        }
        constexpr double rounding = 1e-5;  // several roundings to float32
        for (std::size_t i = 0; i < n && divisors.size() == n; ++i) {
            const double frequency = std::pow(spec.rope.theta, -2.0 * static_cast<double>(i) /
                                                                   static_cast<double>(2 * n)) /
                                     divisors[i];
            if (std::abs(frequency - spec.rope.inv_freq[i]) > rounding * spec.rope.inv_freq[i]) {
                all.push_back("rotary frequency " + std::to_string(i) + " is " +
                              std::to_string(frequency) + ", expected " +
                              std::to_string(spec.rope.inv_freq[i]));
                return;
            }
        }
        if (divisors.size() != n) {
            all.emplace_back("rope_freqs.weight has another length than the frequencies");
        }
    }

    /// Each token under its id, and as many as the embedding has rows.
    void check_tokens(const ExportedModel& model, std::vector<std::string>& all) const {
        const fs::path& directory = model.directory();
        if (key("tokenizer.ggml.model") == "no_vocab") {
            if (!tokenizer_files(directory).empty()) {
                check_has_no_vocabulary(directory, all);
            }
            return;
        }
        const json document =
            tokenizer::combine_tokenizer_files(tokenizer::read_tokenizer_files(directory)).root;
        const json texts = key("tokenizer.ggml.tokens");
        if (!texts.is_array() || texts.size() != model.spec().vocab_size ||
            key("tokenizer.ggml.token_type").size() != texts.size()) {
            all.emplace_back(
                "tokenizer.ggml.tokens or its types are not one for each row of the "
                "embedding");
            return;
        }
        std::map<std::size_t, std::string> expected;
        for (const auto& [text, id] : document["model"]["vocab"].items()) {
            expected[id] = text;
        }
        for (const json& added : document.value("added_tokens", json::array())) {
            expected[added["id"]] = added["content"];
        }
        for (const auto& [id, text] : expected) {
            if (id >= texts.size() || texts[id] != text) {
                all.push_back("token " + std::to_string(id) + " is not " + text);
                return;
            }
        }
        if (key("tokenizer.ggml.merges").size() != document["model"]["merges"].size()) {
            all.emplace_back("tokenizer.ggml.merges has another length than the tokenizer's");
        }
    }

    static void check_has_no_vocabulary(const fs::path& directory, std::vector<std::string>& all) {
        const auto files = tokenizer::read_tokenizer_files(directory);
        for (const std::string_view name : tokenizer::vocabulary_file_names()) {
            if (files.has(name)) {
                all.push_back("the file has no tokenizer, the checkpoint has " + std::string(name));
            }
        }
    }

    gguf::FoundFile file_;
};

}  // namespace

std::unique_ptr<ExportReader> make_gguf_reader(const fs::path& directory) {
    return std::make_unique<GgufReader>(directory);
}

}  // namespace lathe
