"""GGUF files as llama.cpp's converter writes them, of tiny models of transformers."""

import numpy as np

BYTE_LEVEL_MERGES = [("h", "e"), ("l", "l"), ("Ġ", "t"), ("Ġ", "a"), ("he", "ll"), ("Ġt", "he")]
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_TOKENS = ("<think>",)
CHAT_TEMPLATE = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n'}}"
    "{% endfor %}"
)
AWKWARD = (
    "", " ", "a", " a", "  a", "a ", "\n", "\n\n\n", "\t x", "hello there", "Hello, the World!",
    "don't can't I'LL we've", "12345", "3.14159", "1,234,567.89", "héllo", "naïve café",
    "e\u0301 ﬁ", "日本語のテキスト", "中文字符测试", "한국어", "Привет мир", "مرحبا", "שלום", "🙂",
    "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "a🙂b", "def f(x):\n    return x**2\n", "for(i=0;i<10;++i){a[i]+=1;}",
    "<html><body>&nbsp;</body>", '{"a": [1, 2, null]}', "<|im_start|>user\nHi<|im_end|>\n",
    "<|endoftext|>", "<think>", "<thinking>", "<pad>", "</s>", "[PAD266]", "https://e.com/?q=a%20b",
    "a\u00a0b", "a\u200bb", "\ufeffx", "x" * 50, " " * 17, "\r\n\r\n", "A\tB", "½ ¼ ²", "١٢٣", "Ⅷ",
    "ſtraße ẞ", "ไทย", "hello<think>the", " 7 8", "the the  the   the", "snake_case camelCase",
)  # fmt: skip
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
# transformers' module -> llama.cpp's, as its converter's table has them.
MODULES = {
    "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v",
    "o_proj": "attn_output", "q_norm": "attn_q_norm", "k_norm": "attn_k_norm",
    "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
GEMMA_MODULES = MODULES | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def byte_alphabet() -> list[str]:
    """Returns the 256 letters of a byte-level BPE, in their usual order."""
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())


def byte_level_vocabulary() -> tuple[list[str], list[int]]:
    """Returns tokens and their kinds: control tokens first, as SmolLM2 has them."""
    normal = [*byte_alphabet(), *(first + second for first, second in BYTE_LEVEL_MERGES)]
    tokens = [*CONTROL_TOKENS, *normal, *USER_TOKENS, "[PAD266]"]
    kinds = [CONTROL] * len(CONTROL_TOKENS) + [NORMAL] * len(normal) + [USER_DEFINED, UNUSED]
    return tokens, kinds


# config.json's values of a tiny model with this vocabulary.
TINY_SIZES = {
    "vocab_size": len(byte_level_vocabulary()[0]), "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip


def byte_level_metadata(pre: str = "smollm") -> dict:
    """Returns the metadata of a byte-level tokenizer."""
    tokens, kinds = byte_level_vocabulary()
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in BYTE_LEVEL_MERGES],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def model_metadata(config, architecture: str) -> dict:
    """Returns the metadata of a transformers config, as the converter of `architecture` does."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    ropes = config.rope_parameters
    rope = ropes.get("full_attention", ropes)
    values = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.freq_base": float(rope["rope_theta"]),
    }
    if architecture == "llama":
        values |= {"vocab_size": config.vocab_size, "rope.dimension_count": width}
    if architecture in ("qwen3", "gemma3"):
        values |= {"attention.key_length": width, "attention.value_length": width}
    if architecture == "gemma3":
        values["attention.sliding_window"] = config.sliding_window
        if config.final_logit_softcapping:
            values["final_logit_softcapping"] = float(config.final_logit_softcapping)
    if rope["rope_type"] in ("linear", "yarn"):
        values |= {"rope.scaling.type": rope["rope_type"], "rope.scaling.factor": rope["factor"]}
    if rope["rope_type"] == "yarn":
        original = rope["original_max_position_embeddings"]
        values["rope.scaling.original_context_length"] = original
    return {f"{architecture}.{key}": value for key, value in values.items()}


def model_tensors(model, architecture: str) -> dict[str, np.ndarray]:
    """Returns llama.cpp's name -> values, float32, as the converter of `architecture` writes."""
    config, tensors = model.config, {}
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.float().numpy()
        *_, module, ending = name.split(".")
        if architecture == "llama" and module in heads:  # LlamaModel.permute
            shape = values.shape
            halves = values.reshape(heads[module], 2, shape[0] // heads[module] // 2, *shape[1:])
            values = halves.swapaxes(1, 2).reshape(shape)
        if architecture == "gemma3" and module.endswith("norm"):
            values = values + 1
        table = GEMMA_MODULES if architecture == "gemma3" else MODULES
        layer = f"blk.{name.split('.')[2]}." if ".layers." in name else ""
        tensors[f"{layer}{table[module]}.{ending}"] = values
    rope = config.rope_parameters
    if rope.get("rope_type") == "llama3":
        tensors["rope_freqs.weight"] = llama3_factors(rope, model)
    return tensors


def llama3_factors(rope: dict, model) -> np.ndarray:
    """Returns what Llama 3's rope divides each frequency by, from transformers' own frequencies."""
    scaled = model.model.rotary_emb.inv_freq.double().numpy()
    count = len(scaled)
    return (rope["rope_theta"] ** (-np.arange(count) / count) / scaled).astype(np.float32)


def write_gguf(path, metadata: dict, tensors: dict, kind: str = "F32") -> None:
    """Writes a GGUF file.

    Args:
      path: of the file.
      metadata: key -> value; general.architecture is one of them.
      tensors: llama.cpp's name -> float32 values.
      kind: quantisation of the matrices, as gguf.quants writes it; vectors stay float32.
    """
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    writer = GGUFWriter(path, metadata["general.architecture"])
    add = {bool: writer.add_bool, float: writer.add_float32, str: writer.add_string}
    add |= {int: writer.add_uint32, list: writer.add_array}
    for key, value in metadata.items():
        if key != "general.architecture":
            add[type(value)](key, value)
    for name, values in tensors.items():
        if values.ndim == 1 or kind == "F32":
            writer.add_tensor(name, np.ascontiguousarray(values))
        elif kind == "F16":
            writer.add_tensor(name, values.astype(np.float16))
        else:
            number = GGMLQuantizationType[kind]
            writer.add_tensor(name, quantize(values, number), raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def save_as_gguf(model, path, architecture: str, kind: str = "F32") -> None:
    """Writes a model of transformers as llama.cpp's converter does, with a tiny tokenizer.

    Args:
      model: its vocabulary has as many rows as the tokenizer has tokens.
      path: of the file.
      architecture: llama.cpp's name.
      kind: as of `write_gguf`.
    """
    metadata = {"general.architecture": architecture, "general.name": "Tiny"}
    metadata |= model_metadata(model.config, architecture) | byte_level_metadata()
    write_gguf(path, metadata, model_tensors(model, architecture), kind)


def plain_llama() -> tuple[dict, dict]:
    """Returns metadata and tensors of a llama of one layer, without transformers."""
    rng = np.random.default_rng(0)
    tokens, _ = byte_level_vocabulary()
    shapes = {
        "token_embd.weight": (len(tokens), 32), "output_norm.weight": (32,),
        "blk.0.attn_norm.weight": (32,), "blk.0.ffn_norm.weight": (32,),
        "blk.0.attn_q.weight": (32, 32), "blk.0.attn_k.weight": (16, 32),
        "blk.0.attn_v.weight": (16, 32), "blk.0.attn_output.weight": (32, 32),
        "blk.0.ffn_gate.weight": (64, 32), "blk.0.ffn_up.weight": (64, 32),
        "blk.0.ffn_down.weight": (32, 64),
    }  # fmt: skip
    metadata = {
        "general.architecture": "llama", "general.name": "Tiny", "llama.block_count": 1,
        "llama.context_length": 64, "llama.embedding_length": 32,
        "llama.feed_forward_length": 64, "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2, "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0, "llama.rope.dimension_count": 8,
    }  # fmt: skip
    tensors = {
        name: rng.standard_normal(shape, np.float32) * np.float32(0.2)
        for name, shape in shapes.items()
    }
    return metadata | byte_level_metadata(), tensors


def write_plain_llama(path, metadata=None, tensors=None, kind: str = "F32") -> None:
    """Writes the llama of `plain_llama` with entries changed; None leaves one out."""
    usual, values = plain_llama()
    usual, values = usual | (metadata or {}), values | (tensors or {})
    write_gguf(
        path,
        {key: value for key, value in usual.items() if value is not None},
        {name: array for name, array in values.items() if array is not None},
        kind,
    )


def files_of(path) -> dict[str, bytes]:
    """Returns the small files that are rebuilt from a GGUF file."""
    from pocketllm.export.checkpoint.gguf.model import read_gguf

    return read_gguf(path).files


def tokenizer_of(path):
    """Returns the tokenizer that is rebuilt from a GGUF file."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(files_of(path)["tokenizer.json"].decode())


def both(path, folder):
    """Returns AutoTokenizer of what we rebuild, and transformers' own of the GGUF file."""
    from transformers import AutoTokenizer

    folder.mkdir()
    for name, data in files_of(path).items():
        (folder / name).write_bytes(data)
    ours = AutoTokenizer.from_pretrained(folder)
    return ours, AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
