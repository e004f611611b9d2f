#include "orchestrator/simulate/timeline.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "orchestrator/progress.hpp"

namespace lathe {
namespace {

constexpr double left = 70.0;
constexpr double top = 54.0;
constexpr double width = 1100.0;
constexpr double most_height = 640.0;
constexpr int most_rows = 128;
constexpr std::array<std::string_view, 10> colours{"#4477aa", "#ee6677", "#228833", "#ccbb44",
                                                   "#66ccee", "#aa3377", "#999933", "#882255",
                                                   "#44aa99", "#777777"};

std::string escaped(const std::string& text) {
    std::string result;
    for (const char c : text) {
        result += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
    }
    return result;
}

/// A bar: spans of one rank and one stage with less than a pixel between them.
struct Bar {
    double begin = 0.0;
    double end = 0.0;
    double busy = 0.0;
    bool lost = false;
};

class Picture {
public:
    explicit Picture(const Simulation& simulation)
        : simulation_(simulation),
          scale_(simulation.seconds > 0.0 ? width / simulation.seconds : 0.0),
          step_((simulation.n_ranks + most_rows - 1) / most_rows),
          n_rows_((simulation.n_ranks + step_ - 1) / step_),
          row_(std::min(18.0, most_height / n_rows_)) {
        for (std::size_t s = 0; s < simulation.stages.size(); ++s) {
            colour_[simulation.stages[s].name] = colours[s % colours.size()];
        }
    }

    std::string draw(const std::string& title) {
        const double height = row_ * n_rows_;
        text_ = fmt::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0f}\" height=\"{:.0f}\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<defs><pattern id=\"lost\" width=\"4\" height=\"4\" patternUnits=\"userSpaceOnUse\" "
            "patternTransform=\"rotate(45)\"><rect width=\"2\" height=\"4\" "
            "fill=\"#000000\"/></pattern></defs>\n"
            "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
            "<text x=\"{}\" y=\"18\" font-size=\"14\">{}</text>\n",
            left + width + 30.0, top + height + 40.0, left,
            escaped(title) + (step_ > 1 ? fmt::format(" (one rank in {} is shown)", step_) : ""));
        legend();
        text_ += fmt::format(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{:.2f}\" fill=\"#eeeeee\"/>\n", left,
            top, width, height);
        bars();
        axes(height);
        return text_ + "</svg>\n";
    }

private:
    void legend() {
        double x = left;
        for (const SimulatedStage& stage : simulation_.stages) {
            text_ += fmt::format(
                "<rect x=\"{:.0f}\" y=\"28\" width=\"12\" height=\"12\" fill=\"{}\"/>"
                "<text x=\"{:.0f}\" y=\"38\">{}</text>\n",
                x, colour_[stage.name], x + 16.0, escaped(stage.name));
            x += 34.0 + 7.0 * static_cast<double>(stage.name.size());
        }
    }

    void bars() {
        std::map<std::pair<int, std::string>, std::vector<Bar>> rows;
        std::vector<const RankSpan*> spans;
        for (const RankSpan& span : simulation_.spans) {
            if (span.rank % step_ == 0) {
                spans.push_back(&span);
            }
        }
        std::ranges::stable_sort(spans, {}, &RankSpan::begin);
        for (const RankSpan* span : spans) {
            std::vector<Bar>& row = rows[{span->rank, span->stage}];
            if (!row.empty() && span->finished && !row.back().lost &&
                (span->begin - row.back().end) * scale_ < 1.0 &&
                (span->end - row.back().begin) * scale_ < 3.0) {
                row.back().end = std::max(row.back().end, span->end);
                row.back().busy += span->busy;
            } else {
                row.push_back({span->begin, span->end, span->busy, !span->finished});
            }
        }
        for (const auto& [place, row] : rows) {
            for (const Bar& bar : row) {
                draw_bar(place.first, colour_[place.second], bar);
            }
        }
    }

    void draw_bar(int rank, std::string_view colour, const Bar& bar) {
        const double seconds = std::max(bar.end - bar.begin, 1e-12);
        const auto rect = [&](std::string_view fill, double opacity) {
            text_ += fmt::format(
                "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\" "
                "fill-opacity=\"{:.2f}\"/>\n",
                left + bar.begin * scale_, top + rank / step_ * row_,
                std::max(seconds * scale_, 0.2), row_ * (row_ > 4.0 ? 0.9 : 1.0), fill, opacity);
        };
        rect(colour, 0.15 + 0.85 * std::min(1.0, bar.busy / seconds));
        if (bar.lost) {
            rect("url(#lost)", 0.6);
        }
    }

    void axes(double height) {
        constexpr int n_ticks = 8;
        for (int i = 0; i <= n_ticks; ++i) {
            text_ +=
                fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>\n",
                            left + width * i / n_ticks, top + height + 18.0,
                            duration_text(simulation_.seconds * i / n_ticks));
        }
        const int step = std::max(1, static_cast<int>(std::ceil(16.0 / row_)));
        for (int row = 0; row < n_rows_; row += step) {
            text_ +=
                fmt::format("<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">rank {}</text>\n",
                            left - 6.0, top + row * row_ + std::min(row_, 12.0), row * step_);
        }
    }

    const Simulation& simulation_;
    double scale_;  ///< pixels a second
    int step_;      ///< one rank in so many has a row
    int n_rows_;
    double row_;  ///< height of a row
    std::map<std::string, std::string_view> colour_;
    std::string text_;
};

}  // namespace

std::string timeline_svg(const Simulation& simulation, const std::string& title) {
    return Picture(simulation).draw(title);
}

}  // namespace lathe
