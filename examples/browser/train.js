// Trains a bundle in Node, with the modules of the page:
//
//     node train.js --bundle=BUNDLE --encoded=ROWS --run=RUN --steps=N [--dev=ROWS]
//         [--batch_size=8] [--lr=…] [--eps=…] [--seed=0] [--eval_every=N] [--litert=FOLDER]
//
// Flags are those of `pocketllm train`, rows those of `pocketllm encode`; FOLDER holds the
// WebAssembly files of @litertjs/core, by default `litert` beside this file. Exit code 2 for bad
// input, 1 for failure.

import { webcrypto } from 'node:crypto'
import {
  closeSync, existsSync, fsyncSync, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync,
  rmSync, statSync, writeSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runInThisContext } from 'node:vm'

import { readBundle } from './training/bundle.js'
import { BUILD, Engine } from './training/engine.js'
import { InputError, LossError, RunError, lineOf } from './training/errors.js'
import { Model } from './training/model.js'
import { readRows } from './training/rows.js'
import { RunFiles, describe, train } from './training/run.js'
import { defaultsOf, readSettings } from './training/settings.js'

globalThis.crypto ??= webcrypto // Node 18

const HERE = dirname(fileURLToPath(import.meta.url))
const SETTINGS = {
  steps: 'steps',
  batchSize: 'batch_size',
  lr: 'lr',
  eps: 'eps',
  seed: 'seed',
  evalEvery: 'eval_every',
}
const FLAGS = ['bundle', 'encoded', 'dev', 'run', 'litert', ...Object.values(SETTINGS)]

/** A file of the disk, as the modules read one. */
export function fileAt(path) {
  return {
    name: path,
    async arrayBuffer() {
      if (statSync(path).isDirectory()) throw new InputError(`${path}: a folder, expected a file`)
      const bytes = readFileSync(path)
      return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
    },
  }
}

/** Reads the bundle of a folder. */
export function bundleIn(folder) {
  if (existsSync(folder) && !statSync(folder).isDirectory()) {
    throw new InputError(`${folder}: a file, expected the folder of a bundle; give that`)
  }
  const file = (name) => fileAt(join(folder, name))
  return readBundle(file('bundle.json'), file('model.tflite'))
}

/** Opens a bundle with the WebAssembly files of a folder; θ are its initial values. */
export async function openModel(bundle, litert) {
  const script = join(litert, `${BUILD}.js`)
  if (!existsSync(script)) {
    throw new InputError(
      `${litert}: holds no ${BUILD}.js; \`make browser\` puts it there, or give --litert`)
  }
  const locate = (name) => join(litert, name)
  const model = new Model(bundle, await Engine.open(scriptFactory(script), locate, bundle.bytes))
  await model.begin()
  return model
}

/** The script is no module, though its package says so: it is run as Node runs a CommonJS file. */
function scriptFactory(path) {
  const parameters = ['exports', 'require', 'module', '__filename', '__dirname']
  const source = `(function (${parameters}) {${readFileSync(path, 'utf8')}\n})`
  const module = { exports: {} }
  runInThisContext(source, path)(module.exports, createRequire(path), module, path, dirname(path))
  return module.exports
}

function readFlags(words) {
  const flags = { litert: join(HERE, 'litert') }
  for (const word of words) {
    const [, name, value] = /^--(\w+)=(.*)$/s.exec(word) ?? []
    if (!FLAGS.includes(name)) {
      throw new InputError(`${word}: expected ${FLAGS.map((flag) => `--${flag}=`).join(' ')}`)
    }
    flags[name] = value
  }
  for (const name of ['bundle', 'encoded', 'run']) {
    if (!flags[name]) throw new InputError(`--${name} is missing`)
  }
  if (existsSync(flags.run)) throw new InputError(`${flags.run}: exists; choose another --run`)
  return flags
}

function settingsOf(flags, bundle) {
  const entries = Object.entries(SETTINGS).map(([key, name]) => [key, flags[name]])
  const nameOf = (key) => `--${SETTINGS[key]}`
  return readSettings(Object.fromEntries(entries), defaultsOf(bundle), nameOf)
}

/** Writes a run's folder beside its place, and renames it. */
function writeRun(path, files) {
  const parent = dirname(resolve(path))
  let beside
  try {
    mkdirSync(parent, { recursive: true })
    beside = mkdtempSync(join(parent, `.${basename(path)}.partial-`))
    for (const [name, bytes] of files) writeFlushed(join(beside, name), bytes)
    renameSync(beside, path)
  } catch (error) {
    if (beside) rmSync(beside, { recursive: true, force: true })
    throw new RunError(`${path}: cannot be written: ${error.message}; free some space`)
  }
}

function writeFlushed(path, bytes) {
  const file = openSync(path, 'w')
  try {
    for (let place = 0; place < bytes.length;) place += writeSync(file, bytes, place)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Takes a run's steps; returns the model as they left it. */
export async function run(words) {
  const flags = readFlags(words)
  const bundle = await bundleIn(flags.bundle)
  const settings = settingsOf(flags, bundle)
  const rows = await readRows(fileAt(flags.encoded), bundle)
  const dev = flags.dev ? await readRows(fileAt(flags.dev), bundle, { isDev: true }) : null
  const files = new RunFiles(describe(bundle, rows, settings))
  const model = await openModel(bundle, flags.litert)
  let isStopped = false
  process.once('SIGINT', () => (isStopped = true))
  const watch = {
    between: () => new Promise((then) => setImmediate(() => then(isStopped))), // signals come in
    stepped(step, seconds) {
      files.addStep(step, seconds, model.engine.heapBytes)
      const loss = (step.losses[0] + step.losses[1]) / 2
      console.log(`step ${step.number}: loss ${loss.toFixed(4)}, ${seconds.toFixed(3)} s`)
    },
    evaluated(step, evaluation) {
      files.addEvaluation(step, evaluation, dev)
      const { accuracy, loss } = evaluation
      const share = accuracy === null ? '' : `accuracy ${accuracy.toFixed(4)}, `
      console.log(`step ${step}: dev ${share}loss ${loss.toFixed(4)}`)
    },
    ruined: () => files.dropLast(),
  }
  try {
    await train(model, { rows, dev }, settings, watch)
  } catch (error) {
    if (!(error instanceof LossError) || !files.count) throw error
    writeRun(flags.run, files.files())
    throw new LossError(
      `${error.message}; the run keeps step ${files.count}, take a smaller --lr or --eps`)
  }
  writeRun(flags.run, files.files())
  const memory = (model.engine.heapBytes / 1e6).toFixed(1)
  console.log(`${flags.run}: ${files.count} steps, ${memory} MB of WebAssembly memory`)
  return model
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  run(process.argv.slice(2)).catch((error) => {
    console.error(`train.js: error: ${lineOf(error)}`)
    process.exitCode = error instanceof InputError ? 2 : 1
  })
}
