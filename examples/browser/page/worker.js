// Checks the files and trains, off the page's thread. It says `ready`, is told a task, and answers
// with what it read and what happened; `stop` ends a run behind its step.

import { readBundle } from '../training/bundle.js'
import { BUILD, Engine } from '../training/engine.js'
import { lineOf } from '../training/errors.js'
import { Model } from '../training/model.js'
import { readRows } from '../training/rows.js'
import { train } from '../training/run.js'
import { defaultsOf, readSettings } from '../training/settings.js'
import { FIELDS } from './facts.js'

const PACKAGE = new URL('../litert/', import.meta.url)

let isStopped = false
const channel = new MessageChannel()

/** Lets messages come in; returns whether `stop` did. */
const between = () => new Promise((then) => {
  channel.port1.onmessage = () => then(isStopped)
  channel.port2.postMessage(null)
})

/** The task: files (`rows` and `dev` may be null), and the fields' texts, null for a check. */
async function work({ manifest, model: modelFile, rows: rowsFile, dev: devFile, texts }) {
  const bundle = await readBundle(manifest, modelFile)
  const facts = { ...bundle, bytes: undefined, signatures: undefined, variables: undefined }
  postMessage({ kind: 'bundle', facts, defaults: defaultsOf(bundle) })
  const rows = rowsFile && await readRows(rowsFile, bundle)
  const dev = devFile && await readRows(devFile, bundle, { isDev: true })
  for (const [kind, data] of [['rows', rows], ['dev', dev]]) {
    if (data) postMessage({ kind, facts: { ...data, examples: data.examples.length } })
  }
  if (!texts) return
  const settings = readSettings(texts, defaultsOf(bundle), (key) => FIELDS[key])
  postMessage({ kind: 'settings', settings })
  importScripts(new URL(`${BUILD}.js`, PACKAGE))
  const locate = (name) => new URL(name, PACKAGE).href
  const model = new Model(bundle, await Engine.open(self.ModuleFactory, locate, bundle.bytes))
  await model.begin()
  const heapBytes = () => model.engine.heapBytes
  await train(model, { rows, dev }, settings, {
    between,
    stepped: (step, seconds) =>
      postMessage({ kind: 'step', step, seconds, heapBytes: heapBytes() }),
    evaluated: (step, evaluation) => postMessage({ kind: 'evaluation', step, evaluation }),
    ruined: () => postMessage({ kind: 'ruined' }),
  })
}

self.onmessage = async ({ data }) => {
  if (data === 'stop') {
    isStopped = true
    return
  }
  try {
    await work(data)
    postMessage({ kind: 'done' })
  } catch (error) {
    postMessage({ kind: 'error', text: lineOf(error) })
  }
}
postMessage({ kind: 'ready' })
