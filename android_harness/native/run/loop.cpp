#include "run/loop.h"

#include <cmath>
#include <set>

#include "data/order.h"
#include "errors.h"
#include "host/clock.h"
#include "host/signals.h"
#include "journal/flushed.h"
#include "journal/lines.h"
#include "journal/writer.h"
#include "optim/normaliser.h"
#include "run/sessions.h"
#include "run/snapshots.h"

namespace pocketllm {
namespace {

class Run {
 public:
  explicit Run(const Training& training)
      : training_(training),
        settings_(training.config.settings),
        journal_(start_or_continue(training.folder, training.config)),
        writer_(training.folder + "/" + JOURNAL, journal_),
        recorder_(training.model),
        order_(training.data.size(), training.config.batch_size, training.config.seed),
        run_seconds_(seconds_so_far(training.folder)) {
    if (!training_.dev) return;
    for (const auto& entry : read_evaluations(training_.folder, training_.dev->data_sha256))
      evaluated_.insert(entry.first);
  }

  Trained to_the_end() {
    Trained trained;
    if (count() < settings_.steps) announce();
    try {
      go_on();
    } catch (const Interrupted&) {
      trained.is_stopped = true;  // what was under way is no part of the run yet
      signals::clear();
    } catch (const LossError& error) {
      const std::string kept = ruined();
      writer_.close();
      throw RunError(std::string(error.what()) + "; " + kept);
    }
    writer_.close();
    trained.last_step = count();
    trained.best_step = best_step(training_.folder, count());
    trained.step_seconds = seconds_.empty() ? 0 : median(seconds_);
    trained.peak = memory_.peak();
    return trained;
  }

 private:
  int64_t count() const { return static_cast<int64_t>(writer_.count()); }

  void go_on() {
    evaluate_after(0);
    bring_back();
    auto optimizer = make_optimizer(settings_);
    for (size_t number = 1; number <= journal_.count(); number++)
      optimizer->remember(journal_.step(number));
    std::string().swap(journal_.data);  // of a long run, megabytes
    while (count() < settings_.steps) take_step(*optimizer, count() + 1);
    // No later step would show that the last update ruined the parameters.
    if (is_ruined())
      throw LossError("step " + std::to_string(count()) + ": the loss after it is not finite");
  }

  void announce() {
    attempt("machine.json", [this] {
      record_session(training_.folder, count() + 1, training_.model.bundle(), training_.engine,
                     training_.say);
    });
  }

  // Brings the model to the last of the steps; makes up for evaluations on the way.
  void bring_back() {
    const auto steps = static_cast<int64_t>(journal_.count());
    int64_t first = steps;
    for (int64_t number = steps; number >= 1; number--)
      if (is_missing(number)) first = number;
    int64_t number = restore(training_.model, training_.folder, first, journal_, training_.say);
    if (number) evaluate_after(number);
    while (number < steps) {
      signals::check();
      recorder_.replay(journal_.step(static_cast<size_t>(++number)));
      evaluate_after(number);
    }
  }

  bool is_missing(int64_t step) const {
    if (!training_.dev || evaluated_.count(step)) return false;
    const bool is_end = step == 0 || step == settings_.steps;
    return is_end || (training_.eval_every && step % training_.eval_every == 0);
  }

  // Evaluates and records where that is missing; the model holds the step's parameters.
  void evaluate_after(int64_t step) {
    if (!is_missing(step)) return;
    writer_.flush();
    further_.update(training_.pauses.wait(training_.say));  // it may take as long as many steps
    const Evaluation evaluation = evaluate(training_.model, *training_.dev);
    if (!std::isfinite(evaluation.loss))
      throw LossError("step " + std::to_string(step) + ": the dev loss is not finite");
    append_evaluation(training_.folder,
                      {step, evaluation.accuracy, evaluation.loss, evaluation.examples,
                       training_.dev->data_sha256, evaluation.metrics, evaluation.tokens});
    evaluated_.insert(step);
    writer_.flush();
    training_.say("step " + std::to_string(step) + ": dev " + evaluation.describe());
  }

  void take_step(Optimizer& optimizer, int64_t number) {
    signals::check();
    Json further = std::exchange(further_, Json::object());
    // A pause may be here (battery, heat), and be long: before the clock starts.
    further.update(training_.pauses.wait([this](const std::string& line) {
      writer_.flush();
      training_.say(line);
    }));
    const double started = now();
    const auto members = order_.members(static_cast<uint64_t>(number));
    batches_ = batches_of(members, training_.data, training_.model.bundle());
    const Minibatch minibatch{number, step_seed(training_.config.seed, number),
                              [this] { return training_.model.loss(batches_); }, pair()};
    // A signal waits until the step counts: otherwise the parameters would be ahead of the journal.
    Step step = optimizer.step(recorder_, minibatch);
    seconds_.push_back(now() - started);
    write_line(step, further);
    writer_.append(recorded(step, settings_, recorder_));
    run_seconds_ += seconds_.back();
    training_.stepped(step);
    evaluate_after(number);
    snapshot(number);
  }

  std::function<Losses(int32_t, double)> pair() {
    if (!training_.pairs) return nullptr;
    return [this](int32_t seed, double eps) {
      return training_.model.pair(batches_, seed, float32(eps));
    };
  }

  void write_line(Step& step, const Json& further) {
    const Peak peak = memory_.peak();
    step.line["seconds"] = std::round(seconds_.back() * 1e6) / 1e6;
    step.line["peak_anon_bytes"] = peak.anon_bytes;
    step.line["peak_rss_bytes"] = peak.rss_bytes;
    step.line.update(further);
    attempt("lines", [&] {
      append_line(training_.folder + "/" + METRICS, json_line(step.line));
    });
  }

  // Takes a snapshot where doing the passes again would take too long.
  void snapshot(int64_t number) {
    const double tail = recorder_.seconds;
    if (!snapshot_due(tail, run_seconds_, training_.recovery_seconds) || tail < next_attempt_)
      return;
    writer_.flush();
    const bool is_saved = attempt("snapshots", [&] {
      save_snapshot(training_.model, training_.folder, number, writer_.checksum());
    });
    next_attempt_ = is_saved ? 0 : 2 * tail;
    if (is_saved) recorder_.seconds = 0;
  }

  // Whether the present parameters have no finite loss on the last batches; with pairs their
  // signature says it, so that no other need be opened.
  bool is_ruined() {
    Model& model = training_.model;
    if (batches_.empty()) return false;
    return !std::isfinite(training_.pairs ? model.pair(batches_, 0, 0).plus : model.loss(batches_));
  }

  // Drops the last record if it led to where no loss is finite; says what the run keeps.
  std::string ruined() {
    if (count() && is_ruined()) {
      writer_.drop_last();  // its own losses were finite: the parameters before it are sound
      cut_lines_beyond(training_.folder, writer_.count());
    }
    const bool is_decay = settings_.lr * settings_.weight_decay >= 1;
    return "the run keeps step " + std::to_string(count()) + ", start a new one with a smaller " +
           (is_decay ? "--weight_decay" : "--lr or --eps");
  }

  // Writes what the run can do without; what the disk says is told once, and passed over.
  bool attempt(const std::string& kind, const std::function<void()>& write) {
    try {
      write();
      return true;
    } catch (const RunError& error) {
      const std::string text = error.what();
      if (failing_.insert(kind).second)
        training_.say(text.substr(0, text.rfind("; ")) + "; the run goes on without " + kind +
                      " until there is space");
      return false;
    }
  }

  const Training& training_;
  const Settings& settings_;
  Journal journal_;  // as it was when the run went on
  JournalWriter writer_;
  Recorder recorder_;
  Order order_;
  PeakMemory memory_;
  std::set<int64_t> evaluated_;
  std::set<std::string> failing_;
  std::vector<double> seconds_;
  std::vector<Batch> batches_;  // of the step under way or taken last
  Json further_ = Json::object();
  double run_seconds_, next_attempt_ = 0;
};

}  // namespace

Trained train(const Training& training) { return Run(training).to_the_end(); }

}  // namespace pocketllm
