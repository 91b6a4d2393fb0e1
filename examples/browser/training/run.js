// A run: its files, as `pocketllm train` writes them, and the loop over its steps.

import { batchesOf, trainingRow } from './batches.js'
import { crc32 } from './checksums.js'
import { LossError } from './errors.js'
import { evaluate } from './evaluate.js'
import { journalHeader, journalRecord } from './journal.js'
import { mezoStep } from './mezo.js'
import { Order, stepSeed } from './order.js'
import { Float, pythonJson } from './python_json.js'

/** What config.json says of a run. */
export function describe(bundle, rows, settings) {
  const description = {
    optimizer: 'mezo',
    lr: new Float(settings.lr),
    eps: new Float(settings.eps),
    weight_decay: new Float(0),
    lr_schedule: 'constant',
    steps: settings.steps,
    bundle_checksum: bundle.checksum,
    train_sha256: rows.dataSha256,
    batch_size: settings.batchSize,
    seed: settings.seed,
  }
  if (rows.split) description.split = rows.split
  return { ...description, noise: bundle.noise.kind }
}

/** The files of a run, which grow by what is added; `files()` may be called at any time. */
export class RunFiles {
  #config
  #journal
  #metrics = []
  #evaluations = []

  constructor(description) {
    this.#config = pythonJson(description, { indent: 1 }) + '\n'
    this.#journal = [journalHeader(description)]
  }

  /** How many steps the journal holds. */
  get count() {
    return this.#journal.length - 1
  }

  /** Adds a step, what it took, and WebAssembly's memory, which never shrinks. */
  addStep(step, seconds, heapBytes) {
    this.#journal.push(journalRecord(step, this.#journal.at(-1)))
    this.#metrics.push(pythonJson({
      step: step.number,
      seed: step.seed,
      loss_plus: new Float(step.losses[0]),
      loss_minus: new Float(step.losses[1]),
      projected_grad: new Float(step.slope),
      lr: new Float(step.lr),
      seconds: new Float(Math.round(seconds * 1e6) / 1e6),
      peak_anon_bytes: heapBytes,
      peak_rss_bytes: heapBytes,
    }))
  }

  /** Takes the last step back: it led to where no loss is finite. */
  dropLast() {
    this.#journal.pop()
    this.#metrics.pop()
  }

  /** Adds a dev evaluation after a step. */
  addEvaluation(step, { accuracy, loss, examples, tokens }, dev) {
    const text = pythonJson({
      step,
      ...(accuracy !== null && { accuracy: new Float(accuracy) }),
      loss: new Float(loss),
      examples,
      data_sha256: dev.dataSha256,
      ...(!dev.metrics.length && { metrics: {} }), // the tasks' own are not measured here
      ...(tokens !== null && { tokens }),
    })
    const checksum = crc32(new TextEncoder().encode(text))
    this.#evaluations.push(`${text.slice(0, -1)}, "checksum": ${checksum}}`)
  }

  /** [name, bytes] of each. */
  files() {
    const lines = (list) => new TextEncoder().encode(list.map((line) => `${line}\n`).join(''))
    const files = [
      ['config.json', new TextEncoder().encode(this.#config)],
      ['journal', joined(this.#journal)],
    ]
    if (this.#metrics.length) files.push(['metrics.jsonl', lines(this.#metrics)])
    if (this.#evaluations.length) files.push(['evaluations.jsonl', lines(this.#evaluations)])
    return files
  }
}

/** The bytes of parts, one after the other. */
export function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let place = 0
  for (const part of parts) {
    bytes.set(part, place)
    place += part.length
  }
  return bytes
}

/**
 * Takes the steps of a run, from the first one on.
 *
 * @param model holds the initial values
 * @param data {rows, dev}: what readRows gave; `dev` may be null
 * @param settings what readSettings gave
 * @param watch told what happened: stepped(step, seconds), evaluated(step, evaluation), ruined():
 *   the last step led to where no loss is finite; between(), called often, says whether to stop
 * @throws {LossError} θ was put back; what was told before stands
 */
export async function train(model, { rows, dev }, settings, watch) {
  const order = new Order(rows.examples.length, settings.batchSize, settings.seed)
  let batches = []
  const evaluateAfter = async (step) => {
    const isDue = step === 0 || step === settings.steps
    if (!dev || !(isDue || (settings.evalEvery && step % settings.evalEvery === 0))) return
    const evaluation = await evaluate(model, dev, watch.between)
    if (!Number.isFinite(evaluation.loss)) {
      throw new LossError(`step ${step}: the dev loss is not finite`)
    }
    watch.evaluated(step, evaluation)
  }
  await evaluateAfter(0)
  for (let number = 1; number <= settings.steps; number++) {
    if (await watch.between()) return
    const started = performance.now()
    const members = order.members(number).map((place) => rows.examples[place])
    const chosen = members.map((example) => trainingRow(example, model.bundle.scoring))
    batches = batchesOf(chosen, rows.targets, model.bundle)
    const seed = stepSeed(settings.seed, number)
    let step
    try {
      step = await mezoStep(model, batches, { ...settings, number, seed })
    } catch (error) {
      // The step before may have led here: its own losses were those of sound parameters.
      if (error instanceof LossError && !Number.isFinite(await model.loss(batches))) watch.ruined()
      throw error
    }
    watch.stepped(step, (performance.now() - started) / 1000)
    await evaluateAfter(number)
  }
  // No later step would show that the last update ruined the parameters.
  if (!Number.isFinite(await model.loss(batches))) {
    watch.ruined()
    throw new LossError(`step ${settings.steps}: the loss after it is not finite`)
  }
}
