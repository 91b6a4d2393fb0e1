// Encoded rows, as `pocketllm encode` writes them (ENCODED.md).

import { sha256 } from './checksums.js'
import { InputError } from './errors.js'
import { bytesOf } from './files.js'
import { problemOf, targetsOf } from './row_checks.js'

const MAGIC = 'PLLMENC'
const VERSION = '1'
const DIGEST = 32
const REMEDY = 'write it again with `pocketllm encode`'

/**
 * Reads and checks the rows of a data file.
 *
 * @param file as written for this bundle
 * @param bundle what the rows must be for
 * @param isDev whether they will be evaluated, which takes all options of an example
 * @returns {{name, data, dataSha256, split, training, targets, metrics, examples}} each of
 *   `examples` has `golds`, and `sequences` of `ids` (Int32Array), `targets` ({input: number}) and,
 *   of learnt text, `lossMask`
 * @throws {InputError} no such file, a damaged one, or one of another bundle
 */
export async function readRows(file, bundle, { isDev = false } = {}) {
  const bytes = await bytesOf(file)
  const text = new TextDecoder('latin1').decode(bytes.subarray(0, 8))
  if (text.slice(0, 7) !== MAGIC) throw new InputError(`${file.name}: no encoded rows; ${REMEDY}`)
  if (text[7] !== VERSION) {
    throw new InputError(
      `${file.name}: encoded rows of version ${text[7]}, this program reads version 1; ${REMEDY}`)
  }
  const reader = new Reader(file.name, bytes)
  await reader.checkSum()
  const header = reader.header(bundle)
  if (isDev && header.training && bundle.scoring === 'gold') {
    throw new InputError(`${file.name}: rows to train on, of some examples without all their ` +
      'options; encode the dev set with `pocketllm encode` without --training')
  }
  const examples = []
  while (!reader.isAtEnd) examples.push(reader.example(header, bundle, examples.length + 1))
  if (!examples.length || examples.length !== header.examples) {
    reader.damaged(`${examples.length} examples, expected ${header.examples}`)
  }
  return { ...header, name: file.name, examples }
}

/** Reads one number after the other. */
class Reader {
  constructor(name, bytes) {
    this.name = name
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.place = MAGIC.length + 1
    this.end = bytes.length - DIGEST
  }

  get isAtEnd() {
    return this.place >= this.end
  }

  damaged(what) {
    throw new InputError(`${this.name}: damaged (${what}); ${REMEDY}`)
  }

  async checkSum() {
    if (this.end < 12) this.damaged('too short')
    const stored = this.bytes.subarray(this.end)
    const expected = Array.from(stored, (byte) => byte.toString(16).padStart(2, '0')).join('')
    if ((await sha256(this.bytes.subarray(0, this.end))) !== expected) {
      this.damaged('its sha256 is another')
    }
  }

  header(bundle) {
    const length = this.word()
    let values
    try {
      values = JSON.parse(new TextDecoder().decode(this.take(length)))
    } catch {
      this.damaged('its header is not JSON')
    }
    if (values?.bundle_checksum !== bundle.checksum) {
      throw new InputError(`${this.name}: the rows are for bundle ` +
        `${String(values?.bundle_checksum).slice(0, 12)}…, this one is ` +
        `${bundle.checksum.slice(0, 12)}… (checksums); encode the data with this bundle`)
    }
    if (![values.metrics, values.answer_scores].every(Array.isArray)) {
      this.damaged('its header has no lists of metrics')
    }
    const targets = JSON.stringify(values.targets)
    const expected = JSON.stringify(targetsOf(bundle))
    if (targets !== expected) this.damaged(`its targets are ${targets}, expected ${expected}`)
    return {
      data: values.data,
      dataSha256: values.data_sha256,
      split: values.split,
      training: values.training,
      targets: values.targets,
      metrics: values.metrics,
      answerScores: values.answer_scores.length,
      examples: values.examples,
    }
  }

  example(header, bundle, number) {
    const [sequences, golds, , options] = [this.word(), this.word(), this.word(), this.word()]
    const example = { golds: Uint32Array.from(this.words(golds)), sequences: [] }
    this.take(8 * header.answerScores * options) // what options score: of the tasks' own metrics
    for (let i = 0; i < sequences; i++) {
      example.sequences.push(this.sequence(header, bundle, number))
    }
    const problem = problemOf(example, bundle)
    if (problem) this.damaged(`example ${number} has ${problem}`)
    return example
  }

  sequence(header, bundle, number) {
    const tokens = this.word()
    if (tokens < 1 || tokens > bundle.lengths.at(-1)) {
      this.damaged(`example ${number} has ${tokens} tokens, expected 1 to ${bundle.lengths.at(-1)}`)
    }
    const targets = Object.fromEntries(header.targets.map((name) => [name, this.word() | 0]))
    const ids = this.words(tokens)
    return bundle.scoring === 'tokens'
      ? { ids, targets, lossMask: this.words(tokens) }
      : { ids, targets }
  }

  /** The next bytes, a view. */
  take(count) {
    if (count > this.end - this.place) this.damaged('an example is cut short')
    this.place += count
    return this.bytes.subarray(this.place - count, this.place)
  }

  /** The next u32. */
  word() {
    const start = this.place
    this.take(4)
    return this.view.getUint32(start, true)
  }

  /** The next i32s. */
  words(count) {
    const start = this.place
    this.take(4 * count)
    return Int32Array.from({ length: count }, (_, i) => this.view.getInt32(start + 4 * i, true))
  }
}
