// Neurons of feed-forward layers in another order: every kind of tensor, and the whole model.
#include "workers/model/neuron_order.hpp"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "kernels/backends.hpp"
#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/parallel.hpp"
#include "lib/core/random.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "tests/workers/slicing/slice_job.hpp"
#include "workers/model/source_model.hpp"
#include "workers/network/final_states.hpp"
#include "workers/network/head.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// A tensor of block 0 whose elements are a byte each.
std::vector<int> moved(TensorSpec tensor, const NeuronOrder& order,
                       const std::vector<unsigned char>& elements) {
    const auto bytes = std::as_bytes(std::span(elements));
    std::vector<int> result;
    for (const std::byte byte : in_neuron_order(tensor, order, bytes, 1)) {
        result.push_back(std::to_integer<int>(byte));
    }
    return result;
}

TensorSpec tensor(Role role, Shape shape, bool is_bias = false) {
    return {std::string(name(role)), role, 0, is_bias, std::move(shape), false, {}};
}

TEST(NeuronOrder, MovesRowsOfUpAndItsBiasAndColumnsOfDown) {
    const NeuronOrder order{2, 0, 1};
    EXPECT_THAT(moved(tensor(Role::up_proj, {3, 2}), order, {1, 2, 3, 4, 5, 6}),
                ElementsAre(5, 6, 1, 2, 3, 4));
    EXPECT_THAT(moved(tensor(Role::up_proj, {3}, true), order, {1, 2, 3}), ElementsAre(3, 1, 2));
    EXPECT_THAT(moved(tensor(Role::down_proj, {2, 3}), order, {1, 2, 3, 4, 5, 6}),
                ElementsAre(3, 1, 2, 6, 4, 5));
}

TEST(NeuronOrder, MovesElementsOfMoreThanAByteWhole) {
    const std::vector<float> down{1, 2, 3, 4};
    const auto bytes = in_neuron_order(tensor(Role::down_proj, {2, 2}), NeuronOrder{1, 0},
                                       std::as_bytes(std::span(down)), sizeof(float));
    const auto* values = reinterpret_cast<const float*>(bytes.data());
    EXPECT_THAT(std::vector<float>(values, values + 4), ElementsAre(2, 1, 4, 3));
}

TEST(NeuronOrder, MovesEachPartOfAFusedTensor) {
    TensorSpec fused = tensor(Role::gate_up_proj, {6, 1});
    fused.fused = {{{Role::gate_proj, 3}, {Role::up_proj, 3}}, 1};
    EXPECT_THAT(moved(fused, {2, 0, 1}, {1, 2, 3, 4, 5, 6}), ElementsAre(3, 1, 2, 6, 4, 5));
    // Interleaved: gate 0, up 0, gate 1, up 1.
    TensorSpec interleaved = tensor(Role::gate_up_proj, {4, 1});
    interleaved.fused = {{{Role::gate_proj, 1}, {Role::up_proj, 1}}, 2};
    EXPECT_THAT(moved(interleaved, {1, 0}, {1, 2, 3, 4}), ElementsAre(3, 4, 1, 2));
    // Beside parts that are no neurons.
    TensorSpec mixed = tensor(Role::qkv_proj, {4, 1});
    mixed.fused = {{{Role::q_proj, 2}, {Role::up_proj, 2}}, 1};
    EXPECT_THAT(moved(mixed, {1, 0}, {1, 2, 3, 4}), ElementsAre(1, 2, 4, 3));
}

TEST(NeuronOrder, LeavesWhatHasNoNeurons) {
    EXPECT_FALSE(holds_neurons(tensor(Role::down_proj, {2}, true)));
    EXPECT_FALSE(holds_neurons(tensor(Role::o_proj, {2, 2})));
    EXPECT_TRUE(holds_neurons(tensor(Role::gate_proj, {2, 2})));
}

TEST(NeuronOrder, MovesBothSidesOfAGramMatrix) {
    const std::vector<float> gram{11, 12, 13, 21, 22, 23, 31, 32, 33};
    EXPECT_THAT(in_neuron_order(gram, NeuronOrder{2, 0, 1}),
                ElementsAre(33, 31, 32, 13, 11, 12, 23, 21, 22));
}

std::unique_ptr<SourceModel> open_fixture(const std::string& name) {
    return SourceModel::open(std::filesystem::path(LATHE_SOURCE_DIR) / "tests/data/parity" / name,
                             {});
}

TEST(RequireNeurons, RefusesWhatHasNoSuchLayer) {
    const auto source = open_fixture("llama");
    EXPECT_NO_THROW(require_neurons(source->spec, "MODEL"));
    const auto without = [&](Role first, Role second) {
        ModelSpec spec = source->spec;
        std::erase_if(spec.tensors, [&](const TensorSpec& t) {
            return t.block == 1U && (t.role == first || t.role == second);
        });
        return spec;
    };
    EXPECT_THAT([&] { require_neurons(without(Role::down_proj, Role::down_proj), "MODEL"); },
                ThrowsMessage<DataError>(::testing::AllOf(
                    HasSubstr("MODEL: the neurons of block 1"), HasSubstr("no down projection"))));
    EXPECT_THAT([&] { require_neurons(without(Role::up_proj, Role::gate_proj), "MODEL"); },
                ThrowsMessage<DataError>(HasSubstr("no up projection")));
    ModelSpec other = source->spec;
    other.tensors[other.find(Role::gate_proj, 0).value()].shape[0] += 1;
    EXPECT_THAT([&] { require_neurons(other, "MODEL"); },
                ThrowsMessage<DataError>(HasSubstr("not a row for each of the")));
}

TEST(ReadNeuronOrders, RefusesWhatIsNoPermutation) {
    const auto source = open_fixture("llama");
    const std::size_t n = source->spec.intermediate_size;
    const RunDirectory run(std::filesystem::temp_directory_path() /
                           ("lathe_neuron_order_" + std::to_string(::getpid())));
    make_directories(run.neurons());
    for (const bool twice : {false, true}) {
        for (std::size_t block = 0; block < source->spec.n_blocks; ++block) {
            NeuronOrder order(n);
            std::iota(order.rbegin(), order.rend(), 0U);
            order[0] = twice && block == 1 ? order[1] : order[0];
            ArtifactWriter file(run.neurons(block_name(block)));
            file.dataset("/order", DType::u32, {n},
                         reinterpret_cast<const std::byte*>(order.data()));
            file.commit();
        }
        if (twice) {
            EXPECT_THAT([&] { (void)read_neuron_orders(run, source->spec); },
                        ThrowsMessage<DataError>(::testing::AllOf(HasSubstr("block_0001.h5"),
                                                                  HasSubstr("not a permutation"))));
        } else {
            EXPECT_EQ(read_neuron_orders(run, source->spec).at(1).front(), n - 1);
        }
    }
    std::filesystem::remove_all(run.root());
}

TEST(ReadHeldShares, AreOfTheNeuronsInTheirOrder) {
    const RunDirectory run(std::filesystem::temp_directory_path() /
                           ("lathe_held_shares_" + std::to_string(::getpid())));
    make_directories(run.neurons());
    const std::vector<std::vector<double>> means = {{1, 0, 3}, {0, 0, 0}};
    for (std::size_t block = 0; block < means.size(); ++block) {
        ArtifactWriter file(run.neurons(block_name(block)));
        file.dataset("/mean", DType::f64, {3},
                     reinterpret_cast<const std::byte*>(means[block].data()));
        file.commit();
    }
    const std::vector<NeuronOrder> orders = {{2, 0, 1}, {0, 1, 2}};
    EXPECT_THAT(read_held_shares(run, orders, "mean"),
                ::testing::ElementsAre(::testing::ElementsAre(0.75, 1.0, 1.0),
                                       ::testing::ElementsAre(0.0, 0.0, 0.0)));
    std::filesystem::remove_all(run.root());
}

class OrderedFamily : public ::testing::TestWithParam<const char*> {};

std::vector<float> logits(const SourceModel& source, const TokenSequences& samples) {
    ThreadPool pool(2);
    const auto backend = kernels::make_backend(kernels::BackendKind::cpu, pool);
    const SourceWeights weights(source);
    const FinalStates states = final_states(source.spec, weights, *backend, samples);
    Head head(source.spec, weights, *backend);
    std::vector<float> all;
    for (std::size_t row = 0; row < ForwardPass::head_rows(source.spec, samples); ++row) {
        const MatrixView<const float> one = head.logits(states, row, 1);
        all.insert(all.end(), one.data, one.data + one.cols);
    }
    return all;
}

TEST_P(OrderedFamily, AnyOrderLeavesTheFunction) {
    const auto given = open_fixture(GetParam());
    ASSERT_NO_THROW(require_neurons(given->spec, GetParam()));
    const auto ordered = open_fixture(GetParam());
    for (std::size_t block = 0; block < given->spec.n_blocks; ++block) {
        NeuronOrder order(given->spec.intermediate_size);
        std::iota(order.begin(), order.end(), 0U);
        std::ranges::sort(order, {}, [&](std::uint32_t i) { return random_word(block, i); });
        ordered->neuron_orders.push_back(order);
    }
    const TokenSequences samples = random_samples(given->spec, 3);
    EXPECT_LT(relative_l2(logits(*ordered, samples), logits(*given, samples)), 1e-5);
    for (std::size_t t = 0; t < given->spec.tensors.size(); ++t) {
        const EncodedTensor before = source_tensor(*given, t);
        const EncodedTensor after = source_tensor(*ordered, t);
        const TensorSpec& spec = given->spec.tensors[t];
        // A bias may be all zeros.
        EXPECT_TRUE(spec.is_bias ||
                    (before.parts[0].bytes == after.parts[0].bytes) != holds_neurons(spec))
            << spec.name;
    }
}

INSTANTIATE_TEST_SUITE_P(Models, OrderedFamily,
                         ::testing::Values("llama", "mistral", "qwen2", "qwen3", "phi3", "opt",
                                           "opt_post_norm", "phi", "gpt2", "gpt_neox", "bloom",
                                           "bert", "roberta", "distilbert"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace lathe
