#include "orchestrator/search/evolution.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "lib/core/errors.hpp"
#include "lib/core/random.hpp"

namespace lathe {
namespace {

/// A draw after another, as a function of where in the evolution they are made.
class Draws {
public:
    Draws(std::uint64_t seed, std::size_t generation, std::size_t offspring, std::size_t attempt)
        : stream_(random_word(random_word(random_word(seed, generation), offspring), attempt)) {}

    /// A whole number below `n`. @pre n > 0
    std::size_t below(std::size_t n) {
        return static_cast<std::size_t>(random_unit(stream_, next_++) * static_cast<double>(n));
    }

private:
    std::uint64_t stream_;
    std::uint64_t next_ = 0;
};

bool is_same_kind(const std::vector<Option>& a, const std::vector<Option>& b) {
    return std::ranges::equal(a, b, {}, &Option::bytes, &Option::bytes);
}

/// Makes one offspring of a genome.
class Mutation {
public:
    Mutation(const GenePool& pool, const Genome& parent, Draws draws)
        : pool_(pool),
          parent_(parent),
          draws_(draws),
          genome_(parent),
          is_raised_(parent.size(), false),
          bytes_(pool.bytes(parent)),
          seconds_(pool.seconds(parent)) {}

    /// None if the draw leads nowhere.
    std::optional<Genome> run() {
        const std::size_t count = 1 + std::min(draws_.below(3), draws_.below(3));
        for (std::size_t i = 0; i < count; ++i) {
            if (draws_.below(3) == 0) {
                exchange();
            } else {
                raise();
            }
        }
        if (!lower_to_bytes() || !lower_to_seconds()) {
            return std::nullopt;
        }
        spend_the_rest();
        return genome_ == parent_ ? std::nullopt : std::optional(genome_);
    }

private:
    [[nodiscard]] const Option& option(std::size_t gene, std::size_t level) const {
        return pool_.genes[gene][level];
    }
    [[nodiscard]] std::uint64_t bytes_with(std::size_t gene, std::size_t level) const {
        return bytes_ - option(gene, genome_[gene]).bytes + option(gene, level).bytes;
    }
    [[nodiscard]] double seconds_with(std::size_t gene, std::size_t level) const {
        return seconds_ - option(gene, genome_[gene]).seconds + option(gene, level).seconds;
    }
    void set(std::size_t gene, std::size_t level) {
        bytes_ = bytes_with(gene, level);
        seconds_ = seconds_with(gene, level);
        genome_[gene] = level;
    }
    template <class Predicate>
    std::optional<std::size_t> any_gene(const Predicate& may_be) {
        std::vector<std::size_t> found;
        for (std::size_t g = 0; g < genome_.size(); ++g) {
            if (may_be(g)) {
                found.push_back(g);
            }
        }
        return found.empty() ? std::nullopt : std::optional(found[draws_.below(found.size())]);
    }

    void raise() {
        const auto gene =
            any_gene([&](std::size_t g) { return genome_[g] + 1 < pool_.genes[g].size(); });
        if (gene) {
            const std::size_t level = genome_[*gene] + 1 + draws_.below(2);
            set(*gene, std::min(level, pool_.genes[*gene].size() - 1));
            is_raised_[*gene] = true;
        }
    }

    void exchange() {
        const std::size_t a = draws_.below(genome_.size());
        const auto b = any_gene([&](std::size_t g) {
            return genome_[g] != genome_[a] && is_same_kind(pool_.genes[g], pool_.genes[a]);
        });
        if (b) {
            const std::size_t level = genome_[a];
            set(a, genome_[*b]);
            set(*b, level);
            is_raised_[a] = is_raised_[*b] = true;
        }
    }

    /// Gives up after as many steps as mutate a plan beyond recognition.
    bool lower_to_bytes() {
        for (int step = 0; bytes_ > pool_.limits.bytes; ++step) {
            const auto gene =
                any_gene([&](std::size_t g) { return genome_[g] > 0 && !is_raised_[g]; });
            if (!gene || step == most_steps) {
                return false;
            }
            set(*gene, genome_[*gene] - 1);
        }
        return true;
    }

    bool lower_to_seconds() {
        for (int step = 0; seconds_ > pool_.limits.seconds; ++step) {
            const auto gene =
                any_gene([&](std::size_t g) { return !is_raised_[g] && faster_level(g); });
            if (!gene || step == most_steps) {
                return false;
            }
            set(*gene, *faster_level(*gene));
        }
        return true;
    }

    /// The best of the levels that take less time than the gene's and leave the bytes in limit.
    [[nodiscard]] std::optional<std::size_t> faster_level(std::size_t g) const {
        std::optional<std::size_t> best;
        for (std::size_t level = 0; level < pool_.genes[g].size(); ++level) {
            if (option(g, level).seconds < option(g, genome_[g]).seconds &&
                bytes_with(g, level) <= pool_.limits.bytes &&
                (!best || option(g, level).score < option(g, *best).score)) {
                best = level;
            }
        }
        return best;
    }

    void spend_the_rest() {
        while (const auto gene =
                   any_gene([&](std::size_t g) { return better_level(g).has_value(); })) {
            set(*gene, *better_level(*gene));
        }
    }

    /// The next level up that is better and leaves both limits kept.
    [[nodiscard]] std::optional<std::size_t> better_level(std::size_t g) const {
        for (std::size_t level = genome_[g] + 1; level < pool_.genes[g].size(); ++level) {
            if (option(g, level).score < option(g, genome_[g]).score &&
                bytes_with(g, level) <= pool_.limits.bytes &&
                seconds_with(g, level) <= pool_.limits.seconds) {
                return level;
            }
        }
        return std::nullopt;
    }

    static constexpr int most_steps = 10;

    const GenePool& pool_;
    const Genome& parent_;
    Draws draws_;
    Genome genome_;
    std::vector<bool> is_raised_;  ///< by this mutation: not to be lowered again
    std::uint64_t bytes_;
    double seconds_;
};

/// The parent, then offspring that were never tried before: of several times as many, those with
/// the lowest scores, in the order in which they were made.
std::vector<Genome> breed(const GenePool& pool, const EvolutionSettings& settings,
                          std::size_t generation, const Genome& parent, std::set<Genome>& tried) {
    constexpr std::size_t litter = 4;
    constexpr std::size_t most_attempts = 50;
    std::vector<Genome> children;
    std::set<Genome> known;
    for (std::size_t n = 0; n < litter * settings.offspring; ++n) {
        for (std::size_t attempt = 0; attempt < most_attempts; ++attempt) {
            auto child = Mutation(pool, parent, Draws(settings.seed, generation, n, attempt)).run();
            if (child && !tried.contains(*child) && known.insert(*child).second) {
                children.push_back(std::move(*child));
                break;
            }
        }
    }
    std::ranges::stable_sort(children, {},
                             [&](const Genome& genome) { return pool.score(genome); });
    children.resize(std::min(children.size(), settings.offspring));
    tried.insert(children.begin(), children.end());
    children.insert(children.begin(), parent);
    return children;
}

/// Those that are better than genomes[0], the best first, at most `count`.
std::vector<Genome> best_of(const std::vector<Genome>& genomes, const std::vector<double>& scores,
                            std::size_t count) {
    std::vector<std::size_t> better;
    for (std::size_t i = 1; i < genomes.size(); ++i) {
        if (scores[i] < scores[0]) {
            better.push_back(i);
        }
    }
    std::ranges::stable_sort(better, {}, [&](std::size_t i) { return scores[i]; });
    better.resize(std::min(better.size(), count));
    std::vector<Genome> best;
    for (const std::size_t i : better) {
        best.push_back(genomes[i]);
    }
    return best;
}

}  // namespace

std::uint64_t GenePool::bytes(const Genome& genome) const {
    std::uint64_t sum = 0;
    for (std::size_t g = 0; g < genome.size(); ++g) {
        sum += genes[g].at(genome[g]).bytes;
    }
    return sum;
}

double GenePool::seconds(const Genome& genome) const {
    double sum = 0.0;
    for (std::size_t g = 0; g < genome.size(); ++g) {
        sum += genes[g].at(genome[g]).seconds;
    }
    return sum;
}

double GenePool::score(const Genome& genome) const {
    double sum = 0.0;
    for (std::size_t g = 0; g < genome.size(); ++g) {
        sum += genes[g].at(genome[g]).score;
    }
    return sum;
}

Genome evolve(const GenePool& pool, const EvolutionSettings& settings, Genome start,
              double start_fitness, Fitness& fitness,
              const std::function<void(const Generation&)>& on_generation) {
    if (start.size() != pool.genes.size() || pool.bytes(start) > pool.limits.bytes ||
        pool.seconds(start) > pool.limits.seconds * (1.0 + 1e-9)) {
        throw InternalError("evolution starts from a plan outside its limits");
    }
    Genome parent = std::move(start);
    double best = start_fitness;
    std::set<Genome> tried{parent};
    std::size_t failures = 0;
    for (std::size_t g = 0; g < settings.generations && failures < settings.patience; ++g) {
        const std::vector<Genome> genomes = breed(pool, settings, g, parent, tried);
        if (genomes.size() == 1) {
            break;  // nothing left to try
        }
        Generation generation{g, genomes.size() - 1, {}, {}, false, best};
        generation.measured = best_of(genomes, fitness.screen(genomes, g), settings.survivors);
        generation.fitness = fitness.measure(generation.measured);
        for (std::size_t i = 0; i < generation.measured.size(); ++i) {
            if (generation.fitness[i] < best) {
                best = generation.fitness[i];
                parent = generation.measured[i];
                generation.improved = true;
            }
        }
        generation.best = best;
        failures = generation.improved ? 0 : failures + 1;
        if (on_generation) {
            on_generation(generation);
        }
    }
    return parent;
}

}  // namespace lathe
