#include "workers/chain/shared_sums.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "lib/core/errors.hpp"

namespace lathe {

namespace {

constexpr std::size_t piece_bytes = std::size_t{4} << 20;
constexpr std::size_t pieces_under_way = 2;

/// A part of an array.
struct Piece {
    const SumArray* array;
    std::size_t first;
    std::size_t count;
};

std::vector<Piece> pieces_of(const std::vector<SumArray>& arrays) {
    std::vector<Piece> pieces;
    for (const SumArray& array : arrays) {
        std::visit(
            [&](const auto& values) {
                const std::size_t most = piece_bytes / sizeof(values[0]);
                for (std::size_t first = 0; first < values.size(); first += most) {
                    pieces.push_back({&array, first, std::min(most, values.size() - first)});
                }
            },
            array.values);
    }
    return pieces;
}

bool is_on_host(const SumArray& array) {
    return array.memory == nullptr || array.memory->works_on_host();
}

/// The piece's elements as bytes.
std::vector<std::byte> bytes_of(const Piece& piece) {
    return std::visit(
        [&](const auto& values) {
            using T = std::remove_reference_t<decltype(values[0])>;
            const std::span<T> part = values.subspan(piece.first, piece.count);
            std::vector<std::byte> bytes(part.size_bytes());
            if (is_on_host(*piece.array)) {
                std::memcpy(bytes.data(), part.data(), bytes.size());
            } else {
                const std::vector<T> host =
                    piece.array->memory->to_host(MatrixView<T>(part.data(), 1, part.size()));
                std::memcpy(bytes.data(), host.data(), bytes.size());
            }
            return bytes;
        },
        piece.array->values);
}

template <class T>
void combine(SumArray::Kind kind, std::span<T> mine, const std::byte* bytes) {
    for (std::size_t i = 0; i < mine.size(); ++i) {
        T other;
        std::memcpy(&other, bytes + i * sizeof(T), sizeof(T));
        mine[i] = kind == SumArray::Kind::sum       ? mine[i] + other
                  : kind == SumArray::Kind::minimum ? std::min(mine[i], other)
                                                    : std::max(mine[i], other);
    }
}

void add_bytes(const Piece& piece, const std::vector<std::byte>& bytes) {
    std::visit(
        [&](const auto& values) {
            using T = std::remove_reference_t<decltype(values[0])>;
            const std::span<T> part = values.subspan(piece.first, piece.count);
            if (bytes.size() != part.size_bytes()) {
                throw InternalError("a piece of sums has " + std::to_string(bytes.size()) +
                                    " bytes, expected " + std::to_string(part.size_bytes()));
            }
            if (is_on_host(*piece.array)) {
                combine(piece.array->kind, part, bytes.data());
                return;
            }
            const MatrixView<T> there(part.data(), 1, part.size());
            std::vector<T> host = piece.array->memory->to_host(there);
            combine(piece.array->kind, std::span<T>(host), bytes.data());
            piece.array->memory->template copy<T>({host.data(), 1, host.size()}, there);
        },
        piece.array->values);
}

comm::Message receive(comm::Communicator& world, int from) {
    auto message = world.receive(from, comm::Tag::share);
    if (!message || message->bytes.empty()) {
        throw StoppedError("stopped: rank " + std::to_string(from) +
                           " gave up its part of the same task");
    }
    return std::move(*message);
}

}  // namespace

void add_arrays(const std::vector<SumArray>& sums, const std::vector<SumArray>& more) {
    const std::vector<Piece> mine = pieces_of(sums);
    const std::vector<Piece> others = pieces_of(more);
    if (mine.size() != others.size()) {
        throw InternalError("sums of " + std::to_string(mine.size()) + " and " +
                            std::to_string(others.size()) + " pieces cannot be added");
    }
    for (std::size_t i = 0; i < mine.size(); ++i) {
        add_bytes(mine[i], bytes_of(others[i]));
    }
}

void send_numbers(comm::Communicator& world, int to, const std::vector<double>& numbers) {
    std::vector<std::byte> bytes(numbers.size() * sizeof(double));
    std::memcpy(bytes.data(), numbers.data(), bytes.size());
    world.send(to, comm::Tag::share, std::move(bytes));
}

std::vector<double> receive_numbers(comm::Communicator& world, int from) {
    const comm::Message message = receive(world, from);
    std::vector<double> numbers(message.bytes.size() / sizeof(double));
    std::memcpy(numbers.data(), message.bytes.data(), numbers.size() * sizeof(double));
    return numbers;
}

void send_arrays(comm::Communicator& world, int to, const std::vector<double>& shape,
                 const std::vector<SumArray>& arrays) {
    send_numbers(world, to, shape);
    for (const Piece& piece : pieces_of(arrays)) {
        (void)receive(world, to);  // the piece is asked for
        world.send(to, comm::Tag::share, bytes_of(piece));
    }
}

void receive_and_add(comm::Communicator& world, int from, const std::vector<SumArray>& sums) {
    const std::vector<Piece> pieces = pieces_of(sums);
    std::size_t asked = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        for (; asked < std::min(pieces.size(), i + pieces_under_way); ++asked) {
            send_numbers(world, from, {1.0});
        }
        add_bytes(pieces[i], receive(world, from).bytes);
    }
}

std::vector<SumNode> nodes_of(std::size_t begin, std::size_t end) {
    std::vector<SumNode> nodes;
    for (std::size_t part = begin; part < end; ++part) {
        nodes.push_back({part, 1});
        while (nodes.size() > 1 && nodes[nodes.size() - 2].is_left_of(nodes.back())) {
            nodes[nodes.size() - 2].count += nodes.back().count;
            nodes.pop_back();
        }
    }
    return nodes;
}

}  // namespace lathe
