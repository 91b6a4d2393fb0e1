// Words for what was read, and for the fields.

/** What a field of the form is called, by the setting that it holds. */
export const FIELDS = {
  steps: 'Steps',
  batchSize: 'Batch size',
  lr: 'Learning rate',
  eps: 'Probe ε',
  seed: 'Seed',
  evalEvery: 'Steps per evaluation',
}

const TRAINED = {
  full: 'all parameters',
  lora: 'LoRA',
  prefix: 'a prefix',
  head: 'the label words’ head',
}

/** A bundle's model, task and what is trained of it. */
export function describeBundle({ modelName, task, tune, base, batchSize, lengths }) {
  const trained = tune === 'full' ? TRAINED.full : `${TRAINED[tune] ?? tune} on ${base}`
  return `${modelName}, ${task}: ${trained}; ${batchSize} × ${lengths.at(-1)} tokens a pass`
}

/** How many examples a file of rows has, and of what data. */
export const describeRows = ({ examples, data }) =>
  `${examples.toLocaleString('en')} examples of ${data}`
