"""Chat templates that write what those of today's models write, in Jinja of our own.

Each has the special tokens that its text uses, and a chat with its text, written by hand.
"""

from dataclasses import dataclass

CHATML_TOKENS = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
HEADER = "'<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n'"


@dataclass(frozen=True)
class Case:
    """A template: its text, its special tokens, the make of its tokenizer, an example's text."""

    text: str
    tokens: dict[str, str]
    make: str
    example: str

    @property
    def trained(self) -> str:
        """The template with marks around what is learnt, as templates for training have them."""
        before, content, suffix = "{#<#}", "{#>#}", "{#.#}"
        assert all(mark in self.text for mark in (before, content, suffix))
        return self.text.replace(before, "{% generation %}").replace(suffix, "{% endgeneration %}")


EXAMPLE = [{"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Yes."}]

# What stands between {#<#} and {#.#} is learnt: the content and what ends it.
SMOLLM2 = Case(
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are terse.<|im_end|>\n{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}"
    "{#<#}{{ m.content }}{#>#}{{ '<|im_end|>\n' }}{#.#}{% else %}{{ m.content + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    CHATML_TOKENS | {"bos_token": "<|im_start|>"},
    "smollm2",
    "<|im_start|>system\nYou are terse.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n"
    "<|im_start|>assistant\nYes.<|im_end|>\n",
)
QWEN25 = Case(
    "{%- if messages[0]['role'] == 'system' -%}{{- '<|im_start|>system\\n' + messages[0].content }}"
    "{%- else -%}{{- '<|im_start|>system\\nYou are no one.' }}{%- endif -%}{{- '<|im_end|>\\n' }}"
    "{%- for m in messages -%}{%- if m.role == 'user' -%}"
    "{{- '<|im_start|>user\\n' + m.content + '<|im_end|>\\n' }}"
    "{%- elif m.role == 'assistant' -%}{{- '<|im_start|>assistant\\n' }}"
    "{#<#}{{- m.content }}{#>#}{{- '<|im_end|>\\n' }}{#.#}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' }}{%- endif -%}",
    CHATML_TOKENS,
    "qwen",
    "<|im_start|>system\nYou are no one.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n"
    "<|im_start|>assistant\nYes.<|im_end|>\n",
)
# Thoughts are written in the answer to the last question alone, where they may be none.
QWEN3 = Case(
    "{%- set last = namespace(user=-1) -%}{%- for m in messages -%}{%- if m.role == 'user' -%}"
    "{%- set last.user = loop.index0 -%}{%- endif -%}{%- endfor -%}"
    "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.role != 'assistant' -%}{{- m.content + '<|im_end|>\\n' }}{%- else -%}"
    "{%- set thought, said = '', m.content -%}{%- if '</think>' in said -%}"
    "{%- set thought = said.split('</think>')[0].rstrip('\\n').split('<think>')[-1] -%}"
    "{%- set said = said.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}{#<#}"
    "{%- if loop.index0 > last.user and loop.last -%}"
    "{{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + said.lstrip('\\n') }}"
    "{%- else -%}{{- said }}{%- endif -%}{#>#}{{- '<|im_end|>\\n' }}{#.#}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and not enable_thinking -%}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif -%}{%- endif -%}",
    CHATML_TOKENS,
    "qwen",
    "<|im_start|>user\n Hi <|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\nYes.<|im_end|>\n",
)
LLAMA32 = Case(
    "{{- bos_token }}{%- if strftime_now is defined -%}{%- set day = strftime_now('%d %b %Y') -%}"
    "{%- else -%}{%- set day = '26 Jul 2024' -%}{%- endif -%}"
    "{%- if messages[0].role == 'system' -%}{%- set system, turns = messages[0].content | trim, "
    "messages[1:] -%}{%- else -%}{%- set system, turns = '', messages -%}{%- endif -%}"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + day + '\\n\\n' }}"
    "{{- system + '<|eot_id|>' }}{%- for m in turns -%}{{- " + HEADER + " }}"
    "{%- if m.role == 'assistant' -%}{#<#}{{- m.content | trim }}{#>#}{{- '<|eot_id|>' }}{#.#}"
    "{%- else -%}{{- m.content | trim + '<|eot_id|>' }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{%- set m = {'role': 'assistant'} -%}{{- " + HEADER + " }}"
    "{%- endif -%}",
    {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "llama3",
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n"
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nYes.<|eot_id|>",
)
GEMMA3 = Case(
    "{{ bos_token }}{%- if messages[0].role == 'system' -%}{%- set lead, turns = "
    "messages[0].content + '\\n\\n', messages[1:] -%}{%- else -%}{%- set lead, turns = '', messages"
    " -%}{%- endif -%}{%- for m in turns -%}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}"
    "{{ raise_exception('roles must alternate') }}{%- endif -%}{%- if m.role == 'assistant' -%}"
    "{{ '<start_of_turn>model\\n' }}{#<#}{{ m.content | trim }}{#>#}{{ '<end_of_turn>\\n' }}{#.#}"
    "{%- else -%}{{ '<start_of_turn>user\\n' + (lead if loop.first else '') }}"
    "{{ m.content | trim }}{{ '<end_of_turn>\\n' }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}",
    {"bos_token": "<bos>", "eos_token": "<eos>"},
    "gemma",
    "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes.<end_of_turn>\n",
)
# A block of facts around the system message, which may switch the mode; no fallback date.
SMOLLM3 = Case(
    "{{- '<|im_start|>system\\n## Metadata\\n\\nToday Date: ' + strftime_now('%d %B %Y') + '\\n' }}"
    "{%- set mode = '/think' -%}{%- set given = '' -%}{%- if messages[0].role == 'system' -%}"
    "{%- set given = messages[0].content -%}{%- if '/no_think' in given -%}"
    "{%- set mode = '/no_think' -%}{%- endif -%}"
    "{%- set given = given.replace('/no_think', '').replace('/think', '').rstrip() -%}{%- endif -%}"
    "{{- 'Reasoning Mode: ' + mode + '\\n\\n' + (given or 'You are SmolLM.') + '\\n\\n' }}"
    "{%- for m in messages -%}{%- if m.role == 'user' -%}"
    "{{- '<|im_start|>user\\n' + m.content + '<|im_end|>\\n' }}{%- elif m.role == 'assistant' -%}"
    "{{- '<|im_start|>assistant\\n' }}{#<#}{{- m.content.lstrip('\\n') }}{#>#}"
    "{{- '<|im_end|>\\n' }}{#.#}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' }}{%- endif -%}",
    CHATML_TOKENS,
    "qwen",
    "<|im_start|>system\n## Metadata\n\nToday Date: 26 July 2024\nReasoning Mode: /think\n\n"
    "You are SmolLM.\n\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n",
)
# Phi's: an end of its own behind the last turn. Llama 2's make: turns of plain words.
PHI3 = Case(
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' }}{% if m.role == 'assistant' %}{#<#}"
    "{{ m.content }}{#>#}{{ '<|im_end|>\n' }}{#.#}{% else %}{{ m.content + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% elif "
    "messages[-1].role == 'assistant' %}{#<#}{{ '<|endoftext|>' }}{#.#}{% else %}"
    "{{ '<|endoftext|>' }}{% endif %}",
    CHATML_TOKENS,
    "qwen",
    "<|user|>\n Hi <|im_end|>\n<|assistant|>\nYes.<|im_end|>\n<|endoftext|>",
)
ZEPHYR = Case(
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' }}{% if m.role == 'assistant' %}{#<#}"
    "{{ m.content }}{#>#}{{ eos_token + '\n' }}{#.#}{% else %}{{ m.content + eos_token + '\n' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    {"bos_token": "<s>", "eos_token": "</s>"},
    "tinyllama",
    "<|user|>\n Hi </s>\n<|assistant|>\nYes.</s>\n",
)
# Gemma 2's: no system message.
GEMMA2 = Case(
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + GEMMA3.text,
    GEMMA3.tokens,
    "gemma",
    GEMMA3.example,
)
CASES = {
    "SmolLM2": SMOLLM2, "Qwen2.5": QWEN25, "Qwen3": QWEN3, "Llama 3.2": LLAMA32, "Gemma 3": GEMMA3,
    "Gemma 2": GEMMA2, "SmolLM3": SMOLLM3, "Phi-3": PHI3, "Zephyr": ZEPHYR,
}  # fmt: skip
