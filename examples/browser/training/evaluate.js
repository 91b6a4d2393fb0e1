// What a model gets right on a dev set.

import { batchesOf, evaluationRows } from './batches.js'

/**
 * Runs every row once; the prediction is the class or option with the highest logit.
 *
 * @returns {{loss, accuracy, examples, tokens}} `loss` in nats; `accuracy` is null for learnt text,
 *   and `tokens` null for any other
 */
export async function evaluate(model, data, between = async () => {}) {
  const { scoring } = model.bundle
  const rows = data.examples.flatMap((example) => evaluationRows(example, scoring))
  const logits = new Array(rows.length)
  let loss = 0
  let weight = 0
  for (const batch of batchesOf(rows, data.targets, model.bundle)) {
    const outputs = await model.forward(batch)
    const columns = outputs.logits.length / model.bundle.batchSize
    for (const [place, member] of batch.members.entries()) {
      logits[member] = outputs.logits.subarray(place * columns, (place + 1) * columns)
    }
    loss += outputs.loss[0] * outputs.weight_sum[0]
    weight += outputs.weight_sum[0]
    await between()
  }
  const isText = scoring === 'tokens'
  return {
    loss: loss / weight,
    accuracy: isText ? null : accuracy(data.examples, logits, scoring),
    examples: data.examples.length,
    tokens: isText ? weight : null,
  }
}

/** The share of examples whose highest logit, the first of equals, is a right answer's. */
function accuracy(examples, logits, scoring) {
  let place = 0
  let right = 0
  for (const { golds, sequences } of examples) {
    const count = scoring === 'gold' ? sequences.length : 1
    const scores = logits.slice(place, place + count).flatMap((values) => Array.from(values))
    place += count
    const best = scores.reduce((best, score, i) => (score > scores[best] ? i : best), 0)
    if (golds.includes(best)) right++
  }
  return right / examples.length
}
