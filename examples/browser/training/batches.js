// Rows, and what a forward signature takes of them: FORMAT.md, "Order of the data".

const FILLER = { option_start: 1, option_tokens: 1 } // so that one token makes an ordinary row

/** The row that an example is trained on: its sequences, the class, and its weight. */
export function trainingRow(example, scoring) {
  if (scoring === 'tokens') return { sequences: example.sequences, weight: 1 }
  if (scoring === 'gold') return { sequences: [example.sequences[example.golds[0]]], weight: 1 }
  return { sequences: example.sequences, label: example.golds[0], weight: 1 }
}

/** The rows that an evaluation runs for an example: one, or one for each option. */
export function evaluationRows(example, scoring) {
  if (scoring !== 'gold') return [trainingRow(example, scoring)]
  return example.sequences.map((sequence, option) =>
    ({ sequences: [sequence], weight: option === example.golds[0] ? 1 : 0 }))
}

const tokensOf = (row) => Math.max(...row.sequences.map((sequence) => sequence.ids.length))

/**
 * Cuts rows into batches, longest rows first; the last one is filled up with weight 0.
 *
 * @returns {Array<{tokens, members, inputs}>} of each the bucket, the places of its rows, and
 *   {input: Int32Array or Float32Array}
 */
export function batchesOf(rows, targets, bundle) {
  const lengths = rows.map(tokensOf)
  const order = Array.from(rows.keys()).sort((a, b) => lengths[b] - lengths[a])
  const batches = []
  for (let first = 0; first < rows.length; first += bundle.batchSize) {
    const members = order.slice(first, first + bundle.batchSize)
    const tokens = bundle.lengths.find((length) => length >= lengths[members[0]])
    const inputs = inputsOf(members.map((member) => rows[member]), { tokens, targets, bundle })
    batches.push({ tokens, members, inputs })
  }
  return batches
}

function inputsOf(rows, { tokens, targets, bundle }) {
  const slots = bundle.batchSize * rows[0].sequences.length
  const inputs = {
    input_ids: new Int32Array(slots * tokens).fill(bundle.pad),
    attention_mask: new Int32Array(slots * tokens),
    weight: new Float32Array(bundle.batchSize),
  }
  for (const name of targets) inputs[name] = new Int32Array(slots).fill(FILLER[name] ?? 0)
  if (rows[0].sequences[0].lossMask) inputs.loss_mask = new Int32Array(slots * tokens)
  if (rows[0].label !== undefined) inputs.label = new Int32Array(bundle.batchSize)
  for (let slot = 0; slot < slots; slot++) inputs.attention_mask[slot * tokens] = 1
  let slot = 0
  for (const [place, row] of rows.entries()) {
    inputs.weight[place] = row.weight
    if (row.label !== undefined) inputs.label[place] = row.label
    for (const sequence of row.sequences) {
      const start = slot * tokens
      inputs.input_ids.set(sequence.ids, start)
      inputs.attention_mask.fill(1, start, start + sequence.ids.length)
      if (sequence.lossMask) inputs.loss_mask.set(sequence.lossMask, start)
      for (const name of targets) inputs[name][slot] = sequence.targets[name]
      slot++
    }
  }
  return inputs
}
