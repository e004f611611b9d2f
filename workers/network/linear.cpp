#include "workers/network/linear.hpp"

#include <vector>

namespace lathe {
namespace {

using Kind = WeightInPieces::Kind;

/// Layers of one input, while the products with packed weights are gathered.
class Products {
public:
    Products(const kernels::Backend& backend, bool bf16, MatrixView<const float> x)
        : backend_(backend), bf16_(bf16), x_(x) {}

    void add(const LinearLayer& layer) {
        if (layer.weight.packed != nullptr) {
            packed_.push_back({layer.weight.packed, layer.bias, layer.y});
        } else if (layer.weight.pieces != nullptr) {
            add_pieces(*layer.weight.pieces, layer);
        } else {
            // A piece of zeros reads one column only.
            const MatrixView<const float> x = x_.col_range(0, layer.weight.values.cols);
            if (bf16_) {
                backend_.linear_bf16(x, layer.weight.values, layer.bias, layer.y);
            } else {
                backend_.linear(x, layer.weight.values, layer.bias, layer.y);
            }
        }
    }

    void finish() const {
        if (!packed_.empty()) {
            backend_.linear(x_, packed_);
        }
    }

private:
    void add_pieces(const WeightInPieces& weight, const LinearLayer& layer) {
        switch (weight.kind) {
            case Kind::rows:
                for (const auto& [begin, piece] : weight.pieces) {
                    const auto bias =
                        layer.bias.empty() ? layer.bias : layer.bias.subspan(begin, piece.rows);
                    add({piece.view(), bias, layer.y.col_range(begin, piece.rows)});
                }
                return;
            case Kind::columns:
                add_up(weight, layer);
                return;
            case Kind::factors: {
                const LoadedWeight& left = weight.pieces.at(0).weight;
                const LoadedWeight& right = weight.pieces.at(1).weight;
                const auto memory = backend_.allocate<float>(x_.rows * right.rows);
                const MatrixView<float> narrow = memory.matrix(x_.rows, right.rows);
                multiply(x_, {right.view(), {}, narrow});
                multiply(narrow, {left.view(), layer.bias, layer.y});
                return;
            }
        }
    }

    void add_up(const WeightInPieces& weight, const LinearLayer& layer) {
        kernels::Array<float> memory;
        for (const auto& [begin, piece] : weight.pieces) {
            const MatrixView<const float> x = x_.col_range(begin, piece.cols);
            if (&piece == &weight.pieces.front().weight) {
                multiply(x, {piece.view(), layer.bias, layer.y});
                continue;
            }
            if (memory.size() == 0) {
                memory = backend_.allocate<float>(x.rows * weight.rows);
            }
            const MatrixView<float> summand = memory.matrix(x.rows, weight.rows);
            multiply(x, {piece.view(), {}, summand});
            backend_.add(summand, layer.y);
        }
    }

    void multiply(MatrixView<const float> x, const LinearLayer& layer) const {
        multiply_all(backend_, bf16_, x, {&layer, 1});
    }

    const kernels::Backend& backend_;
    bool bf16_;
    MatrixView<const float> x_;
    std::vector<kernels::PackedProduct> packed_;
};

}  // namespace

void multiply_all(const kernels::Backend& backend, bool bf16, MatrixView<const float> x,
                  std::span<const LinearLayer> layers) {
    Products products(backend, bf16, x);
    for (const LinearLayer& layer : layers) {
        products.add(layer);
    }
    products.finish();
}

}  // namespace lathe
