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
struct Segment {
    const SumArray* array;
    std::size_t first;
    std::size_t count;
};

/// What goes in a message: parts of neighbouring arrays.
using Piece = std::vector<Segment>;

std::vector<Piece> pieces_of(const std::vector<SumArray>& arrays) {
    std::vector<Piece> pieces;
    std::size_t room = 0;  // bytes, in the last piece
    for (const SumArray& array : arrays) {
        std::visit(
            [&](const auto& values) {
                constexpr std::size_t size = sizeof(values[0]);
                for (std::size_t first = 0; first < values.size();) {
                    if (room < size) {
                        pieces.emplace_back();
                        room = piece_bytes;
                    }
                    const std::size_t count = std::min(room / size, values.size() - first);
                    pieces.back().push_back({&array, first, count});
                    first += count;
                    room -= count * size;
                }
            },
            array.values);
    }
    return pieces;
}

/// work(values, on_host) for the elements of a segment, which are the backend's unless `on_host`.
template <class Work>
void visit(const Segment& segment, const Work& work) {
    const kernels::Memory* memory = segment.array->memory;
    std::visit(
        [&](const auto& values) {
            work(values.subspan(segment.first, segment.count),
                 memory == nullptr || memory->works_on_host());
        },
        segment.array->values);
}

std::vector<std::byte> bytes_of(const Piece& piece) {
    std::vector<std::byte> bytes;
    for (const Segment& segment : piece) {
        visit(segment, [&](const auto& values, bool on_host) {
            using T = std::remove_reference_t<decltype(values[0])>;
            const auto append = [&](std::span<const T> host) {
                const std::span<const std::byte> own = std::as_bytes(host);
                bytes.insert(bytes.end(), own.begin(), own.end());
            };
            if (on_host) {
                append(values);
            } else {
                append(
                    segment.array->memory->to_host(MatrixView<T>(values.data(), 1, values.size())));
            }
        });
    }
    return bytes;
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
    std::size_t taken = 0;
    for (const Segment& segment : piece) {
        visit(segment, [&](const auto& values, bool on_host) {
            using T = std::remove_reference_t<decltype(values[0])>;
            if (bytes.size() < taken + values.size_bytes()) {
                throw InternalError("a piece of sums has " + std::to_string(bytes.size()) +
                                    " bytes, fewer than expected");
            }
            const std::byte* from = bytes.data() + taken;
            taken += values.size_bytes();
            if (on_host) {
                combine(segment.array->kind, values, from);
                return;
            }
            const MatrixView<T> there(values.data(), 1, values.size());
            std::vector<T> host = segment.array->memory->to_host(there);
            combine(segment.array->kind, std::span<T>(host), from);
            segment.array->memory->template copy<T>({host.data(), 1, host.size()}, there);
        });
    }
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
    const std::vector<Piece> pieces = pieces_of(arrays);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (i >= pieces_under_way) {
            (void)receive(world, to);  // one has arrived
        }
        world.send(to, comm::Tag::share, bytes_of(pieces[i]));
    }
}

void receive_and_add(comm::Communicator& world, int from, const std::vector<SumArray>& sums) {
    const std::vector<Piece> pieces = pieces_of(sums);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        const comm::Message message = receive(world, from);
        if (i + pieces_under_way < pieces.size()) {
            send_numbers(world, from, {1.0});
        }
        add_bytes(pieces[i], message.bytes);
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
