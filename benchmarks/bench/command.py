"""Measures steps of a model: time, noise pass, forward rate and memory; also in PyTorch.

Without --bundle the preset is exported with random weights into a temporary folder, and the export
is measured too (set TMPDIR to a folder on a disk, because files in memory count as memory). Every
measurement runs in its own process, one after the other: first the machine's float32 matrix
multiply (sgemm), then for each batch size our side and PyTorch, on the same weights and inputs. A
batch has full rows of --seq_len random tokens, and a bundle that is exported takes as many at once
as the largest batch has, at most 8. One step warms up, --steps steps are timed, and one more runs
in the next length bucket, so that the peaks are those of a run with two buckets. The table shows
medians; the ratio says how many times better ours is. A causal model is measured twice in PyTorch:
with the LM head on every token, as in transformers, and on the label word's row only ("PyTorch,
row"); the head of a masked one runs on the mask's row. GFLOP/s count the products that the loss
needs (benchmarks/bench/flops.py), for all sides alike. Peak anonymous is the highest RssAnon +
RssShmem, peak all pages the highest VmHWM.

With --tune=lora, prefix or head the base is frozen, and our side keeps it, packed for the kernels,
in a file beside the bundle. Our side is then measured in three processes: one makes that file
("packing"), one finds it, one runs without it ("no file"). PyTorch is compared only with LoRA, in
two ways: it trains all parameters, or the same LoRA parameters on the base in float32 ("PyTorch,
LoRA"). It takes the weights from a second bundle, exported with --tune=full, or given as
--full_bundle. On an fp32 base the losses before the first step must be equal; the difference that
int8 or int4 makes is shown.

With --optimizer=adam the steps are steps with gradients: on a frozen base those of several calls
add up, of all parameters a step is one call. MeZO's steps of the same bundle are then measured
beside them, and "ours/MeZO" says how many times as much a step takes. In PyTorch LoRA is then
PEFT's, with torch.optim.AdamW and the head on the scored row ("PyTorch, peft"); with --tune=full
AdamW trains all parameters. With --task=lm a causal model learns all tokens of its rows, on every
side, instead of label words.

With --optimizer=fzoo a step has 8 directions, with one loss each, on a base of integers with two.
MeZO's steps are measured beside them too, and the row "a direction" compares the two.

With --pairs, on a frozen base, both probes of a step are one forward pass (forward_pair_T). Steps
with two forward passes are measured beside them ("two forwards"), also under --memory_limit.

--memory_limit also measures our side in a process with a hard memory limit: a memory cgroup, which
counts all pages, those of mapped files too. Caches are dropped before, and the file of packed
weights exists. If no cgroup can be made, the limit is RLIMIT_DATA, which does not count pages of
files; the table then says so.

--signal is another measurement: along --directions directions, at several eps, how well the
projected gradients of a quantised base correlate with those of the same model in fp32. --model may
be a checkpoint folder or a GGUF file; none: roberta-micro with its trained weights. Without --tune
and --base all pairs are measured. The default eps are chosen by this measurement.

--race trains --model with LoRA (--base=int8 unless given) on SST-2, once an arm and seed, from the
same start and for the same budget: --forwards forward passes of a batch, of which an Adam step
counts three and a MeZO step two. --arms may be adam, mezo, mezo-normalised, fzoo (8 directions, one
loss each), fzoo-pairs (4, two losses each: for a base of integers), and pytorch-adam (PEFT and
torch.optim.AdamW) and pytorch-mezo, on the base in float32. The learning rate of each arm is
searched for first, on the dev rows; the held-out rows are evaluated at each run's best dev step.
The same command goes on where it stopped, also by --budget. --out then holds report.md,
report.json, curves.png and .svg, the bundle and runs/.

--generate measures how fast text is written: --new_tokens behind a prompt of --prompt_tokens random
tokens, the most likely token each time, --steps times after one that warms up. Without --tune and
--base three bundles are measured: LoRA on int8 and on fp32, and all parameters trained. The table
has tokens a second of text and prompt, the ratio to transformers.generate with its cache on the
same weights (--against=pytorch), the bytes of weights read a second beside the machine's rate of
copying memory, and how many ids the text begins with as PyTorch's.

--meters measures the gradient of a --bundle, the noise of its rows and its curvature on --rows of
--train, along --probes directions, by forward passes alone, with intervals of 95%. The noise scale
is the number of rows whose noise is as large as the gradient: many more rows a step are wasted.
The one-sided error ratio says whether fzoo may take losses on one side: below 0.2 it may. Of each
block of layers the table has the share: what a step that moves this block alone gains, over the
mean of the blocks.

examples:
  pocketllm bench --meters --bundle=BUNDLE --train=train.tsv
  pocketllm bench --generate --model=smollm2-135m --against=pytorch
  pocketllm bench --model=roberta-large --batch_sizes=8,64 --against=pytorch --json=large.json
  pocketllm bench --model=opt-1.3b --batch_sizes=8 --against=pytorch
  pocketllm bench --bundle=BUNDLE --batch_sizes=8 --engine=tflite
  pocketllm bench --model=roberta-large --tune=lora --base=int8 --memory_limit=320M
  pocketllm bench --model=roberta-large --tune=lora --base=int8 --pairs --batch_sizes=8 \\
    --memory_limit=320M
  pocketllm bench --model=roberta-large --optimizer=adam --tune=lora --base=int8 --batch_sizes=8 \\
    --memory_limit=512M --against=pytorch
  pocketllm bench --model=qwen2.5-0.5b --optimizer=adam --task=lm --tune=lora --base=int8 \\
    --batch_sizes=1 --seq_len=256
  pocketllm bench --signal
  pocketllm bench --signal --model=CHECKPOINT --tune=lora --base=int8 --data=train.tsv
  pocketllm bench --race --model=SmolLM2-135M-Instruct.Q4_1.gguf --out=race
"""

from absl import flags

from pocketllm.runtime import contract
from pocketllm.runtime.commands.flags import definer
from pocketllm.tflite_models.presets import PRESETS

from . import meters, signal, steps
from .flags import refuse_given
from .generation import command as generation
from .race import command as race

FLAGS = flags.FlagValues()
define = definer(FLAGS)
define.bool("signal", False, "measure projected gradients instead of steps")
define.bool("generate", False, "measure how fast text is written")
define.bool("meters", False, "measure gradient, noise and curvature")
define.bool("race", False, "train with several optimizers, and compare what they reach")
define.string(
    "model",
    None,
    "preset, or of --signal and --race a checkpoint folder or GGUF file; presets: "
    + ", ".join(PRESETS),
)
define.enum("engine", "litert", list(contract.ENGINES), "interpreter")
define.integer("threads", None, "kernel threads on every side; none: all cores", 1)
define.integer("seed", 0, "random seed of weights, inputs and directions", 0)
define.enum("noise", None, list(contract.NOISE_KINDS), "distribution of the direction z")
define.enum("tune", contract.FULL, list(contract.TUNES), "parameters that are trained")
define.enum("base", contract.FP32, list(contract.BASES), "storage of the frozen parameters")
FLAGS.append_flag_values(steps.FLAGS)
FLAGS.append_flag_values(signal.FLAGS)
FLAGS.append_flag_values(race.FLAGS)
FLAGS.append_flag_values(generation.FLAGS)
FLAGS.append_flag_values(meters.FLAGS)
# Flags of an export, or of another bench.
NO_METERS = ("model", "noise", "tune", "base", "signal", "race", "generate")


def run(values) -> dict:
    """Measures; see the module's docstring."""
    if values.meters:
        others = [name for name in steps.FLAGS if name != "bundle"]
        for unused in (others, signal.FLAGS, race.FLAGS, generation.FLAGS, NO_METERS):
            refuse_given(values, unused, "is no part of --meters; leave it out")
        return meters.run_meters(values)
    refuse_given(values, meters.FLAGS, "goes with --meters")
    if values.generate:
        shared = ("steps", "against")
        others = [name for name in steps.FLAGS if name not in shared]
        for unused in (others, signal.FLAGS, race.FLAGS, ["signal", "race", "engine", "noise"]):
            refuse_given(values, unused, "is no part of --generate; leave it out")
        return generation.run_generation(values)
    refuse_given(values, generation.FLAGS, "goes with --generate")
    if values.race:
        for others in (steps.FLAGS, signal.FLAGS, ["signal"]):
            refuse_given(values, others, "is no part of --race; leave it out")
        return race.run_race(values)
    refuse_given(values, race.FLAGS, "goes with --race")
    if values.signal:
        refuse_given(values, steps.FLAGS, "is no part of --signal; leave it out")
        return signal.run_signal(values)
    refuse_given(values, signal.FLAGS, "goes with --signal")
    return steps.run_steps(values)
