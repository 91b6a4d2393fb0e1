// Asks a GGUF model in llama.cpp, the most likely token each time.
//
//     node examples/llama_cpp/ask.js MODEL.gguf QUESTIONS.jsonl ANSWERS.json [MAX_NEW_TOKENS]
//
// QUESTIONS has a chat a line, as `pocketllm generate --data` takes it: the last answer is left out.
// ANSWERS is a JSON list of `prompt`, the template's text, and `text`. Needs the npm package
// @fugood/llama.node, llama.cpp built for Node, which prints much of its own.

const { readFileSync, writeFileSync } = require('node:fs')
const { loadModel } = require('@fugood/llama.node')

function messagesOf(line) {
  const { messages } = JSON.parse(line)
  return messages.at(-1).role === 'assistant' ? messages.slice(0, -1) : messages
}

// The most likely token: at temperature 0 this package still draws one, of one there is no choice.
const GREEDY = { top_k: 1, dry_multiplier: 0 }

async function main(path, questions, out, most = '128') {
  const lines = readFileSync(questions, 'utf8').split('\n').filter((line) => line.trim())
  const model = await loadModel({
    model: path,
    n_ctx: 1024,
    // The cache in float32 and attention as it is written down: nothing else rounds.
    cache_type_k: 'f32',
    cache_type_v: 'f32',
    flash_attn_type: 'off',
  })
  const answers = []
  for (const line of lines) {
    const messages = messagesOf(line)
    const { prompt } = await model.getFormattedChat(messages, null, { jinja: true })
    const { text } = await model.completion({ prompt, n_predict: Number(most), ...GREEDY })
    answers.push({ prompt, text })
  }
  writeFileSync(out, JSON.stringify(answers, null, 1) + '\n')
  await model.release()
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(`error: ${error.message}`)
  process.exit(1)
})
