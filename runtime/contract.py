"""Names and numbers that the exporter writes and the runtime reads: the bundle's contract.

A bundle is a folder: `model.tflite`, `bundle.json`, `tokenizer.json`, `source.json`.
tflite_models/FORMAT.md describes its format and its signatures.
"""

from collections.abc import Iterable

FORMAT_VERSION = 2  # of a bundle
JOURNAL_VERSION = 3  # of a run's journal, tflite_models/JOURNAL.md
DESCENTS_VERSION = 1  # of the journal of a run with gradients, likewise

# Engines, and the distribution that brings each.
ENGINES = {"litert": "ai-edge-litert", "tflite": "tflite-runtime"}

MODEL_FILE = "model.tflite"
MANIFEST_FILE = "bundle.json"
TOKENIZER_FILE = "tokenizer.json"
SOURCE_FILE = "source.json"  # the checkpoint's small files, for `replay`: a phone may lack it
# No part of the bundle: frozen weights packed for one machine's kernels, and their origin.
PACKED_FILE = "packed-weights"
PACKED_STAMP = "packed-weights.json"
BUNDLE_FILES = frozenset(
    {MODEL_FILE, MANIFEST_FILE, TOKENIZER_FILE, SOURCE_FILE, PACKED_FILE, PACKED_STAMP}
)

# Signatures. The numbered ones are called in order, `initialize_*` before anything else.
FORWARD_LOSS = "forward_loss"  # also the alias of the longest bucket's forward_loss_<tokens>
FORWARD_PAIR = "forward_pair"  # also the alias of the longest bucket's forward_pair_<tokens>
FORWARD_PURE = "forward_pure"  # also the alias of the longest bucket's forward_pure_<tokens>
FORWARD_PURE_PAIR = "forward_pure_pair"  # also the alias of the longest bucket's
PERTURB_AND_UPDATE = "perturb_and_update"
PERTURB_AND_DECAY = "perturb_and_decay"
PERTURB_TWO = "perturb_two"
DECAY = "decay"
ADAM_STEP = "adam_step"  # also the alias of the longest bucket's adam_step_<tokens>
ADAM_ACCUMULATE = "adam_accumulate"  # also the alias of the longest bucket's
ADAM_APPLY = "adam_apply"
SGD_APPLY = "sgd_apply"
GRADIENTS_INITIALIZE = "gradients_initialize"  # before the first adam_accumulate of a step
GRADIENT_NORM = "gradient_norm"
ADAM_INITIALIZE = "adam_initialize"  # once, after `initialize_*` and before the first adam_step
ADAM_READ = "adam_read"  # the moments, after adam_initialize
ADAM_WRITE = "adam_write"
PREFILL = "prefill"
DECODE = "decode"
CACHE_INITIALIZE = "cache_initialize"  # once, before the first prefill
INITIALIZE = "initialize"
READ = "read"
WRITE = "write"

# Stems of the signatures that move whole variables, and of those that write texts.
BASIC = frozenset({INITIALIZE, READ, WRITE})
TEXTS = frozenset({PREFILL, DECODE, CACHE_INITIALIZE})
# Those that the number of a bucket follows.
OF_BUCKETS = frozenset(
    {FORWARD_LOSS, FORWARD_PAIR, FORWARD_PURE, FORWARD_PURE_PAIR, ADAM_STEP, ADAM_ACCUMULATE}
)

# Styles of prompts: a word in place of a mask, or text behind the prompt; and the special tokens
# that the encoding of each style needs.
MASKED = "masked"
CAUSAL = "causal"
STYLES = (MASKED, CAUSAL)
NEEDED_TOKENS = {MASKED: ("pad", "mask"), CAUSAL: ("pad",)}

# Inputs and outputs. All have rank 1 or more: a rank-0 input crashed the signature runner on ARM.
INPUT_IDS = "input_ids"  # [B, T] int32
ATTENTION_MASK = "attention_mask"  # [B, T] int32, 1 for a token, 0 for padding
MASK_POSITION = "mask_position"  # [B] int32, where the mask token stands (masked)
LAST_POSITION = "last_position"  # [B] int32, where the prompt's last token stands (causal, words)
OPTION_START = "option_start"  # [B * C] int32, where an option's first token stands (causal)
OPTION_TOKENS = "option_tokens"  # [B * C] int32, how many tokens the option has (causal)
POSITION = "position"  # [1] int32, where the first of these tokens stands in the sequence
TOKENS = "tokens"  # [1] int32, how many of the tokens count; padding follows
LOSS_MASK = "loss_mask"  # [B, T] int32, 1 for a token that is learnt (causal, tokens)
LABEL = "label"  # [B] int32, index into the task's label words
WEIGHT = "weight"  # [B] float32, 0 for a filler row
SEED = "seed"  # [1] int32
SCALE = "scale"  # [1] float32
EPS = "eps"  # [1] float32, of forward_pair: the probes are at θ + eps·z and θ - eps·z
SEED_2 = "seed_2"  # [1] int32, of perturb_two
SCALE_2 = "scale_2"  # [1] float32, of perturb_two
DECAY_SHARE = "decay"  # [1] float32, of perturb_and_decay
PROBE = "probe"  # [1] float32, of perturb_and_decay
FACTOR = "factor"  # [1] float32
LR = "lr"  # [1] float32
STEP = "step"  # [1] int32, 1 for the first
LOSS = "loss"  # [1] float32, weighted mean; [2] of a pair, at either probe
WEIGHT_SUM = "weight_sum"  # [1] float32
NORM = "norm"  # [1] float32
LOGITS = "logits"  # [B, C] float32
DONE = "done"  # [1] float32

# The inputs of each noise pass that is a graph of its own; PERTURB_TWO calls the first twice.
NOISE_PASSES = {
    PERTURB_AND_UPDATE: (SEED, SCALE),
    PERTURB_AND_DECAY: (SEED, SCALE, DECAY_SHARE, PROBE),
}

# What the logits [B, C] are. "words": the label words' logits at one position of one sequence.
# "options": the mean log-probability of each of C options, each a sequence of its own. "gold": that
# of the row's only option (C = 1), and the loss is the mean over option tokens. "tokens": that of
# the row's learnt tokens (C = 1), and the loss is the mean over these.
WORDS, OPTIONS, GOLD, TOKEN_LOSS = "words", "options", "gold", "tokens"
SCORINGS = (WORDS, OPTIONS, GOLD, TOKEN_LOSS)
# (style, scoring) -> the inputs that say where the scored tokens stand.
TARGET_INPUTS = {
    (MASKED, WORDS): (MASK_POSITION,),
    (CAUSAL, WORDS): (LAST_POSITION,),
    (CAUSAL, OPTIONS): (OPTION_START, OPTION_TOKENS),
    (CAUSAL, GOLD): (OPTION_START, OPTION_TOKENS),
    (CAUSAL, TOKEN_LOSS): (LOSS_MASK,),
}

# Which parameters are trained, and how the frozen ones are stored.
FULL, LORA, PREFIX, HEAD_WORDS = "full", "lora", "prefix", "head"
TUNES = (FULL, LORA, PREFIX, HEAD_WORDS)
FP32, INT8, INT4 = "fp32", "int8", "int4"
BASES = (FP32, INT8, INT4)
BASE_BITS = {FP32: 32, INT8: 8, INT4: 4}  # of a stored value

# Whose signatures a bundle has: entries of its `optimizers`.
MEZO, ADAM = "mezo", "adam"
GAUSSIAN = "gaussian"
NOISE_KINDS = ("codebook", GAUSSIAN, "rademacher")


def forward_loss_for(tokens: int) -> str:
    """Names the forward signature of the bucket of `tokens` tokens."""
    return f"{FORWARD_LOSS}_{tokens}"


def forward_pair_for(tokens: int) -> str:
    """Names the signature of both probes of the bucket of `tokens` tokens."""
    return f"{FORWARD_PAIR}_{tokens}"


def forward_pure_for(tokens: int) -> str:
    """Names the forward signature, without variables, of the bucket of `tokens` tokens."""
    return f"{FORWARD_PURE}_{tokens}"


def forward_pure_pair_for(tokens: int) -> str:
    """Names the signature of both probes, without variables, of the bucket of `tokens` tokens."""
    return f"{FORWARD_PURE_PAIR}_{tokens}"


def adam_step_for(tokens: int) -> str:
    """Names the Adam signature of the bucket of `tokens` tokens."""
    return f"{ADAM_STEP}_{tokens}"


def adam_accumulate_for(tokens: int) -> str:
    """Names the signature that adds up gradients of the bucket of `tokens` tokens."""
    return f"{ADAM_ACCUMULATE}_{tokens}"


def prefill_for(tokens: int) -> str:
    """Names the signature that reads up to `tokens` tokens of a text: `decode` reads one."""
    return DECODE if tokens == 1 else f"{PREFILL}_{tokens}"


def numbered(stem: str, index: int) -> str:
    """Names slice `index` of `initialize`, `read` or `write`, or of those of the moments."""
    return f"{stem}_{index}"


def stem_of(signature: str) -> str:
    """Returns a signature's name without the number of a slice, or of tokens."""
    stem, _, number = signature.rpartition("_")
    return stem if stem and number.isdecimal() else signature


def in_buckets(stems: Iterable[str], lengths: Iterable[int]) -> frozenset[str]:
    """Returns signatures: names for these buckets in place of stems that a bucket follows."""
    stems = frozenset(stems)
    named = {numbered(stem, length) for stem in stems & OF_BUCKETS for length in lengths}
    return stems - OF_BUCKETS | named
