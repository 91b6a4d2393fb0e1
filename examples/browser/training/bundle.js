// A bundle, as `pocketllm export` writes it: bundle.json and model.tflite, checked (FORMAT.md).

import { sha256 } from './checksums.js'
import { InputError } from './errors.js'
import { bytesOf } from './files.js'

export const FORMAT_VERSION = 2
const MODEL = 'model.tflite'
const REMEDY = 'export the bundle again with `pocketllm export`, or copy it again'
const SCORINGS = ['words', 'options', 'gold', 'tokens']

/**
 * Reads and checks a bundle.
 *
 * @param manifest the file bundle.json
 * @param model the file model.tflite
 * @returns {{checksum, batchSize, lengths, slices, noise, variables, style, scoring, words,
 *   optionTokens, sequencesPerRow, vocabulary, pad, defaultEps, tune, base, modelName, task,
 *   signatures, bytes}} `words` counts label words, `bytes` are model.tflite's
 * @throws {InputError} another format version, an altered file, a signature that is missing
 */
export async function readBundle(manifest, model) {
  const values = await readManifest(manifest)
  const bundle = parse(values, manifest.name)
  bundle.bytes = await readModel(model, values.files?.[MODEL])
  return bundle
}

async function readManifest(file) {
  const bytes = await bytesOf(file)
  const values = parseJson(bytes)
  if (values === null || typeof values !== 'object' || Array.isArray(values)) {
    throw new InputError(`${file.name}: no bundle.json (not a JSON object); ${REMEDY}`)
  }
  if (values.format_version !== FORMAT_VERSION) {
    const version = String(JSON.stringify(values.format_version)).slice(0, 40)
    throw new InputError(`${file.name}: bundle format ${version}, this program reads format ` +
      `${FORMAT_VERSION}; ${REMEDY}`)
  }
  await checkChecksum(bytes, String(values.checksum), file.name)
  return values
}

function parseJson(bytes) {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return null
  }
}

/** The checksum is of the file's own bytes with 64 zeros in the place of its 64 digits. */
async function checkChecksum(bytes, checksum, name) {
  const text = new TextDecoder('latin1').decode(bytes) // a character a byte
  const place = text.lastIndexOf(checksum)
  if (!/^[0-9a-f]{64}$/.test(checksum) || place < 0) {
    throw new InputError(`${name}: has no checksum; ${REMEDY}`)
  }
  const blank = bytes.slice()
  blank.fill(0x30, place, place + 64)
  if ((await sha256(blank)) !== checksum) {
    throw new InputError(`${name}: its checksum is another: the file was altered; ${REMEDY}`)
  }
}

async function readModel(file, expected) {
  const bytes = await bytesOf(file)
  if (bytes.length !== expected?.bytes) {
    throw new InputError(`${file.name}: ${bytes.length} bytes, bundle.json says ` +
      `${expected?.bytes}: not its model; ${REMEDY}`)
  }
  const sum = await sha256(bytes)
  if (sum !== expected.sha256) {
    throw new InputError(`${file.name}: sha256 ${sum.slice(0, 12)}…, bundle.json says ` +
      `${String(expected.sha256).slice(0, 12)}…: the file was altered; ${REMEDY}`)
  }
  return bytes
}

function parse(values, name) {
  const problem = (what) => new InputError(`${name}: not a valid bundle (${what}); ${REMEDY}`)
  const get = (object, key, type) => {
    const value = object?.[key]
    const fits = type === 'count' ? Number.isSafeInteger(value) && value > 0 : typeof value === type
    if (!fits || value === null) throw problem(`no ${key}`)
    return value
  }
  const bundle = {
    checksum: values.checksum,
    modelName: get(values, 'model_name', 'string'),
    task: get(get(values, 'task', 'object'), 'name', 'string'),
    tune: get(values, 'tune', 'string'),
    base: get(values, 'base', 'string'),
    style: get(values, 'style', 'string'),
    scoring: get(values, 'scoring', 'string'),
    words: get(values, 'word_ids', 'object').length,
    optionTokens: get(values, 'option_tokens', 'number'),
    vocabulary: get(get(values, 'config', 'object'), 'vocab_size', 'count'),
    batchSize: get(values, 'batch_size', 'count'),
    lengths: get(values, 'lengths', 'object'),
    slices: get(values, 'slices', 'count'),
    defaultEps: get(values, 'default_eps', 'number'),
    pad: get(get(values, 'special_tokens', 'object'), 'pad', 'number'),
    noise: get(values, 'noise', 'object'),
    signatures: get(values, 'signatures', 'object'),
  }
  get(bundle.noise, 'kind', 'string')
  try {
    bundle.variables = Object.fromEntries(
      values.parameters.flatMap((parameter) => parameter.variables.map((v) => [v.name, v])))
  } catch {
    throw problem('no parameters')
  }
  const { lengths, scoring, signatures } = bundle
  if (!lengths.length || lengths.some((length, i) => !(length > (lengths[i - 1] ?? 0)))) {
    throw problem('lengths are not ascending')
  }
  if (!SCORINGS.includes(scoring)) throw problem(`unknown scoring '${scoring}'`)
  const missing = expectedSignatures(bundle).find((signature) => !signatures[signature])
  if (missing) throw problem(`no signature '${missing}'`)
  const [slots] = signatures[`forward_loss_${lengths.at(-1)}`].inputs?.input_ids?.[1] ?? []
  bundle.sequencesPerRow = slots / bundle.batchSize
  if (!(Number.isInteger(bundle.sequencesPerRow) && slots > 0)) {
    throw problem(`forward_loss_${lengths.at(-1)} takes no rows for ${bundle.batchSize} labels`)
  }
  return bundle
}

/** What a run calls. */
function expectedSignatures({ slices, lengths }) {
  const numbered = ['initialize', 'read', 'write'].flatMap((stem) =>
    Array.from({ length: slices }, (_, slice) => `${stem}_${slice}`))
  return [...numbered, 'perturb_and_update', ...lengths.map((length) => `forward_loss_${length}`)]
}
