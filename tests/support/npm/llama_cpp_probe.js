// What llama.cpp makes of texts: node llama_cpp_probe.js MODEL.gguf TEXTS.json OUT.json
//
// OUT is a list of `ids`, without a token in front, and `probabilities`, those of all tokens behind
// the text, highest first.

const { readFileSync, writeFileSync } = require('node:fs')
const { loadModel } = require('@fugood/llama.node')

// Sampling that leaves the model's own probabilities as they are.
const PLAIN = { temperature: 1, top_k: 0, top_p: 1, min_p: 0, n_predict: 1, n_probs: 1 << 20 }

const EXACT = { n_ctx: 256, cache_type_k: 'f32', cache_type_v: 'f32', flash_attn_type: 'off' }

async function probed(path, text) {
  // Behind a token that ends in the middle of a character the package lists that token alone.
  for (let seed = 0; seed < 100; seed++) {
    // One model a text, none released: a completion that ends before the package has noted that it
    // began is never over for it.
    const model = await loadModel({ model: path, ...EXACT })
    const { tokens } = await model.tokenize(text)
    const { completion_probabilities } = await model.completion({ prompt: text, seed, ...PLAIN })
    const { probs } = completion_probabilities[0]
    if (probs.length > 1) {
      return { ids: Array.from(tokens), probabilities: probs.map(({ prob }) => prob) }
    }
  }
  throw new Error(`no probabilities behind ${JSON.stringify(text)}`)
}

async function main(path, texts, out) {
  const results = []
  for (const text of JSON.parse(readFileSync(texts, 'utf8'))) {
    results.push(await probed(path, text))
  }
  writeFileSync(out, JSON.stringify(results))
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(`error: ${error.message}`)
  process.exit(1)
})
