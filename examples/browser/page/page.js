// The form, and what is shown of a run.

import { InputError, lineOf } from '../training/errors.js'
import { RunFiles, describe } from '../training/run.js'
import { FIELDS, describeBundle, describeRows } from './facts.js'
import { RunView } from './run_view.js'
import { startWorker } from './start_worker.js'
import { zipped } from './zip.js'

const $ = (id) => document.getElementById(id)
const FILES = ['bundle', 'rows', 'dev']
const view = new RunView($)
let worker = null // which checks files, or trains
let facts = {} // what the worker read: {bundle, rows, dev}
let files = null // of the run
const hints = Object.fromEntries(FILES.map((id) => [id, $(`${id}-facts`).textContent]))

for (const id of FILES) $(id).addEventListener('change', check)
$('form').addEventListener('submit', (event) => {
  event.preventDefault()
  start()
})
$('stop').addEventListener('click', () => {
  worker.postMessage('stop')
  $('stop').disabled = true
  view.say('Stopping behind this step …')
})
$('download').addEventListener('click', () => {
  const bytes = zipped(files.files().map(([name, data]) => [`run/${name}`, data]))
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/zip' }))
  Object.assign($('download'), { href: url, download: 'run.zip' })
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
})

/** The files that are chosen; InputError where one of a bundle's is missing. */
function chosen() {
  const all = [...$('bundle').files]
  const [manifest, model] = ['bundle.json', 'model.tflite'].map((name) => {
    const file = all.find((each) => each.name === name)
    if (file) return file
    throw new InputError(`no ${name} is chosen; choose model.tflite and bundle.json together`)
  })
  return { manifest, model, rows: $('rows').files[0] ?? null, dev: $('dev').files[0] ?? null }
}

/** Reads the files that are chosen so far, and says what they are. */
function check() {
  if (!$('bundle').files.length) return
  attempt(() => begin({ ...chosen(), texts: null }))
}

function start() {
  attempt(() => {
    const inputs = chosen()
    if (!inputs.rows) throw new InputError('no rows are chosen; `pocketllm encode` writes them')
    const texts = Object.fromEntries(Object.keys(FIELDS).map((id) => [id, $(id).value]))
    files = null
    view.clear()
    running(true)
    begin({ ...inputs, texts })
  })
}

/** Does what may find a bad input, which is said in one line. */
function attempt(action) {
  view.clearError()
  try {
    action()
  } catch (error) {
    view.fail(lineOf(error))
  }
}

function begin(task) {
  worker?.terminate()
  facts = {}
  for (const id of FILES) $(`${id}-facts`).textContent = hints[id]
  const begun = startWorker(task, (answer) => {
    if (begun === worker) hear[answer.kind](answer, task)
  })
  worker = begun
}

function running(isRunning) {
  $('inputs').disabled = $('start').disabled = isRunning
  $('stop').disabled = !isRunning
}

/** What the worker may say. */
const hear = {
  bundle({ facts: bundle, defaults }) {
    facts.bundle = bundle
    $('bundle-facts').textContent = describeBundle(bundle)
    for (const [id, value] of Object.entries(defaults)) $(id).placeholder = value
  },
  rows({ facts: rows }) {
    facts.rows = rows
    $('rows-facts').textContent = describeRows(rows)
  },
  dev({ facts: dev }) {
    facts.dev = dev
    $('dev-facts').textContent = describeRows(dev)
  },
  settings({ settings }) {
    files = new RunFiles(describe(facts.bundle, facts.rows, settings))
    view.begin(settings.steps)
  },
  step({ step, seconds, heapBytes }) {
    files.addStep(step, seconds, heapBytes)
    view.step(step, seconds, heapBytes)
    $('download').hidden = $('download-facts').hidden = false
  },
  evaluation({ step, evaluation }) {
    files.addEvaluation(step, evaluation, facts.dev)
    view.evaluation(step, evaluation)
  },
  ruined() {
    files.dropLast()
  },
  done(_, { texts }) {
    if (texts) view.end(files.count)
    else view.say(facts.rows ? 'Ready to start.' : 'Choose rows to train on.')
    running(false)
  },
  error({ text }, { texts }) {
    if (!texts) return view.fail(text) // a run that was there before stays
    const count = files?.count ?? 0
    view.fail(count ? `${text}; the run keeps step ${count}, take a smaller rate or ε` : text)
    running(false)
    $('download').hidden = $('download-facts').hidden = !count
  },
}
