#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "orchestrator/search/time_limit.hpp"

namespace lathe {

/// A level for each gene: the index of its option.
using Genome = std::vector<std::size_t>;

/// What a plan consists of. The options of a gene are its levels, by increasing bytes.
struct GenePool {
    std::vector<std::vector<Option>> genes;
    SearchLimits limits;

    [[nodiscard]] std::uint64_t bytes(const Genome& genome) const;
    [[nodiscard]] double seconds(const Genome& genome) const;
    [[nodiscard]] double score(const Genome& genome) const;
};

struct EvolutionSettings {
    std::uint64_t seed = 0;
    std::size_t generations = 20;
    std::size_t offspring = 16;  ///< genomes screened in a generation
    std::size_t survivors = 2;   ///< at most this many of them are measured
    std::size_t patience = 3;    ///< so many generations in a row without a better genome end it
};

/// How good genomes are; the lower the better. Answers must depend on the arguments alone.
class Fitness {
public:
    virtual ~Fitness() = default;
    /// A cheap estimate on data that changes with the generation, comparable within it only.
    /// genomes[0] is the parent, the others differ from it in a few genes.
    virtual std::vector<double> screen(std::span<const Genome> genomes, std::size_t generation) = 0;
    virtual std::vector<double> measure(std::span<const Genome> genomes) = 0;
};

struct Generation {
    std::size_t number = 0;
    std::size_t n_screened = 0;
    std::vector<Genome> measured;
    std::vector<double> fitness;  ///< of those measured
    bool improved = false;
    double best = 0.0;  ///< fitness of the parent of the next generation
};

/// Evolution with one parent, elitist: offspring are the parent with one to three mutations (a gene
/// some levels up, or two genes of the same kind exchanging levels), other genes brought down until
/// the limits hold, then up where something is left of them. Several times as many are made as are
/// screened, which are those with the lowest scores; those that do better there than the parent are
/// measured, and the best replaces the parent if it measures lower. The moves are EvoPress's
/// (Sieberling et al. 2024, arXiv:2410.14649), the start and the choice by score are not.
///
/// Every random number is a function of seed, generation, offspring and place, and ties go to the
/// earlier genome: the result depends on the arguments and the fitness alone.
/// @pre  `start` is within the limits and measures `start_fitness`
/// @returns  the last parent, never worse than `start`
[[nodiscard]] Genome evolve(const GenePool& pool, const EvolutionSettings& settings, Genome start,
                            double start_fitness, Fitness& fitness,
                            const std::function<void(const Generation&)>& on_generation = {});

}  // namespace lathe
