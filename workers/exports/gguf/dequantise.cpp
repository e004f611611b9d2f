#include "workers/exports/gguf/dequantise.hpp"

#include <cstring>
#include <map>

#include "lib/core/half.hpp"

namespace lathe::gguf {
namespace {

// ggml's own loops over each block (ggml-quants.c): the output's order is written out, where the
// writer goes by elements.

using Out = std::vector<float>;

unsigned u8(const std::byte* at) {
    return std::to_integer<unsigned>(*at);
}

int i8(const std::byte* at) {
    return static_cast<std::int8_t>(std::to_integer<unsigned char>(*at));
}

float fp16(const std::byte* at) {
    return half_to_float(static_cast<std::uint16_t>(u8(at) | u8(at + 1) << 8));
}

void read_f32(const std::byte* x, Out& y) {
    float value = 0;
    std::memcpy(&value, x, sizeof(value));
    y.push_back(value);
}

void read_f16(const std::byte* x, Out& y) {
    y.push_back(fp16(x));
}

void read_bf16(const std::byte* x, Out& y) {
    y.push_back(bfloat16_to_float(static_cast<std::uint16_t>(u8(x) | u8(x + 1) << 8)));
}

void read_q1_0(const std::byte* x, Out& y) {
    const float d = fp16(x);
    for (int byte = 0; byte < 16; ++byte) {
        for (unsigned bit = 0; bit < 8; ++bit) {
            y.push_back((u8(x + 2 + byte) >> bit & 1) != 0 ? d : -d);
        }
    }
}

void read_q2_0(const std::byte* x, Out& y) {
    const float d = fp16(x);
    for (int byte = 0; byte < 16; ++byte) {
        for (unsigned shift = 0; shift < 8; shift += 2) {
            y.push_back(d *
                        static_cast<float>(static_cast<int>(u8(x + 2 + byte) >> shift & 3) - 1));
        }
    }
}

void read_q4_0(const std::byte* x, Out& y) {
    const float d = fp16(x);
    for (const unsigned shift : {0U, 4U}) {
        for (int j = 0; j < 16; ++j) {
            y.push_back(d * static_cast<float>(static_cast<int>(u8(x + 2 + j) >> shift & 15) - 8));
        }
    }
}

void read_q4_1(const std::byte* x, Out& y) {
    const float d = fp16(x);
    const float m = fp16(x + 2);
    for (const unsigned shift : {0U, 4U}) {
        for (int j = 0; j < 16; ++j) {
            y.push_back(d * static_cast<float>(u8(x + 4 + j) >> shift & 15) + m);
        }
    }
}

/// Element j of 32 numbers of 5 bits: 4 bytes of fifth bits, then 16 of halves.
unsigned five_bits(const std::byte* x, int j) {
    std::uint32_t high = 0;
    std::memcpy(&high, x, sizeof(high));
    const unsigned low = j < 16 ? u8(x + 4 + j) & 15 : u8(x + 4 + j - 16) >> 4;
    return low | (high >> j & 1) << 4;
}

void read_q5_0(const std::byte* x, Out& y) {
    const float d = fp16(x);
    for (int j = 0; j < 32; ++j) {
        y.push_back(d * static_cast<float>(static_cast<int>(five_bits(x + 2, j)) - 16));
    }
}

void read_q5_1(const std::byte* x, Out& y) {
    const float d = fp16(x);
    const float m = fp16(x + 2);
    for (int j = 0; j < 32; ++j) {
        y.push_back(d * static_cast<float>(five_bits(x + 4, j)) + m);
    }
}

void read_q8_0(const std::byte* x, Out& y) {
    const float d = fp16(x);
    for (int j = 0; j < 32; ++j) {
        y.push_back(static_cast<float>(i8(x + 2 + j)) * d);
    }
}

void read_q2_k(const std::byte* x, Out& y) {
    const float d = fp16(x + 80);
    const float least = fp16(x + 82);
    const std::byte* scale = x;
    for (const std::byte* q = x + 16; q < x + 80; q += 32) {
        for (unsigned shift = 0; shift < 8; shift += 2) {
            for (int part = 0; part < 2; ++part, ++scale) {
                const float dl = d * static_cast<float>(u8(scale) & 15);
                const float ml = least * static_cast<float>(u8(scale) >> 4);
                for (int l = 0; l < 16; ++l) {
                    y.push_back(dl * static_cast<float>(u8(q + 16 * part + l) >> shift & 3) - ml);
                }
            }
        }
    }
}

/// The twelve bytes of Q3_K's scales as sixteen numbers of 6 bits: four low bits of scale i in byte
/// i % 8, its upper two in byte 8 + i % 4.
int scale_of_q3_k(const std::byte* scales, int i) {
    const unsigned low = u8(scales + i % 8) >> (i < 8 ? 0 : 4) & 15;
    const unsigned high = u8(scales + 8 + i % 4) >> (2 * (i / 4)) & 3;
    return static_cast<int>(low | high << 4) - 32;
}

void read_q3_k(const std::byte* x, Out& y) {
    const float d = fp16(x + 108);
    int part = 0;
    unsigned mask = 1;
    for (const std::byte* q = x + 32; q < x + 96; q += 32) {
        for (unsigned shift = 0; shift < 8; shift += 2, mask <<= 1) {
            for (int half = 0; half < 2; ++half, ++part) {
                const float dl = d * static_cast<float>(scale_of_q3_k(x + 96, part));
                for (int l = 16 * half; l < 16 * half + 16; ++l) {
                    const int low = static_cast<int>(u8(q + l) >> shift & 3);
                    y.push_back(dl * static_cast<float>(low - ((u8(x + l) & mask) != 0 ? 0 : 4)));
                }
            }
        }
    }
}

/// Scale and minimum of part j of Q4_K and Q5_K.
void scale_and_minimum(const std::byte* q, int j, unsigned& scale, unsigned& minimum) {
    if (j < 4) {
        scale = u8(q + j) & 63;
        minimum = u8(q + j + 4) & 63;
    } else {
        scale = (u8(q + j + 4) & 15) | u8(q + j - 4) >> 6 << 4;
        minimum = u8(q + j + 4) >> 4 | u8(q + j) >> 6 << 4;
    }
}

/// `high`: 32 bytes with a fifth bit of each part; null: there is none.
void read_runs(const std::byte* x, const std::byte* high, const std::byte* low, Out& y) {
    const float d = fp16(x);
    const float least = fp16(x + 2);
    for (int part = 0; part < 8; ++part) {
        unsigned scale = 0;
        unsigned minimum = 0;
        scale_and_minimum(x + 4, part, scale, minimum);
        const float d1 = d * static_cast<float>(scale);
        const float m1 = least * static_cast<float>(minimum);
        for (int l = 0; l < 32; ++l) {
            unsigned q = u8(low + part / 2 * 32 + l) >> (part % 2 * 4) & 15;
            q += high != nullptr && (u8(high + l) >> part & 1) != 0 ? 16 : 0;
            y.push_back(d1 * static_cast<float>(q) - m1);
        }
    }
}

void read_q4_k(const std::byte* x, Out& y) {
    read_runs(x, nullptr, x + 16, y);
}

void read_q5_k(const std::byte* x, Out& y) {
    read_runs(x, x + 16, x + 48, y);
}

void read_q6_k(const std::byte* x, Out& y) {
    const float d = fp16(x + 208);
    for (int half = 0; half < 2; ++half) {
        const std::byte* low = x + 64 * half;
        const std::byte* high = x + 128 + 32 * half;
        const std::byte* scale = x + 192 + 8 * half;
        for (int quarter = 0; quarter < 4; ++quarter) {
            for (int l = 0; l < 32; ++l) {
                const unsigned nibble = u8(low + l + quarter % 2 * 32) >> (quarter / 2 * 4) & 15;
                const unsigned upper = u8(high + l) >> (2 * quarter) & 3;
                const int q = static_cast<int>(nibble | upper << 4) - 32;
                y.push_back(d * static_cast<float>(i8(scale + 2 * quarter + l / 16)) *
                            static_cast<float>(q));
            }
        }
    }
}

struct Reading {
    BlockSize size;
    void (*read)(const std::byte* x, Out& y);
};

/// By ggml's numbers.
const std::map<std::uint32_t, Reading>& readings() {
    static const std::map<std::uint32_t, Reading> all{
        {0, {{1, 4}, read_f32}},       {1, {{1, 2}, read_f16}},       {2, {{32, 18}, read_q4_0}},
        {3, {{32, 20}, read_q4_1}},    {6, {{32, 22}, read_q5_0}},    {7, {{32, 24}, read_q5_1}},
        {8, {{32, 34}, read_q8_0}},    {10, {{256, 84}, read_q2_k}},  {11, {{256, 110}, read_q3_k}},
        {12, {{256, 144}, read_q4_k}}, {13, {{256, 176}, read_q5_k}}, {14, {{256, 210}, read_q6_k}},
        {30, {{1, 2}, read_bf16}},     {41, {{128, 18}, read_q1_0}},  {42, {{64, 18}, read_q2_0}},
    };
    return all;
}

}  // namespace

BlockSize block_size(std::uint32_t type) {
    const auto found = readings().find(type);
    return found == readings().end() ? BlockSize{} : found->second.size;
}

std::vector<float> dequantise(std::uint32_t type, std::span<const std::byte> bytes) {
    const Reading& reading = readings().at(type);
    std::vector<float> values;
    values.reserve(bytes.size() / reading.size.bytes * reading.size.elements);
    for (std::size_t at = 0; at < bytes.size(); at += reading.size.bytes) {
        reading.read(bytes.data() + at, values);
    }
    return values;
}

}  // namespace lathe::gguf
