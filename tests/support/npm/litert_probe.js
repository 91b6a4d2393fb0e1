// What the tests ask of the modules of examples/browser:
//
//     node litert_probe.js EXAMPLE PLAN.json ANSWER.json

const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')

const [example, planPath, answerPath] = process.argv.slice(2)
const load = (name) => import(pathToFileURL(join(example, name)))
const plan = JSON.parse(readFileSync(planPath, 'utf8'))

const base64 = (values) =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')

async function parametersOf(model) {
  const values = {}
  for (let slice = 0; slice < model.bundle.slices; slice++) {
    Object.assign(values, await model.readSlice(slice))
  }
  return Object.fromEntries(Object.entries(values).map(([name, v]) => [name, base64(v)]))
}

async function opened() {
  const { bundleIn, openModel } = await load('train.js')
  return openModel(await bundleIn(plan.bundle), plan.litert)
}

const commands = {
  async words() {
    const { word } = await load('training/noise.js')
    return plan.cases.map(({ seed, stream }) =>
      Array.from({ length: plan.count }, (_, block) => word(seed, stream, block)))
  },
  async values() {
    const { noiseValues } = await load('training/noise.js')
    const bytes = new Uint8Array(readFileSync(plan.table))
    return plan.cases.map(({ seed, stream }) => base64(
      noiseValues({ noise: plan.noise, bytes }, { seed, stream, count: plan.count })))
  },
  async order() {
    const { Order, stepSeed } = await load('training/order.js')
    return plan.cases.map(({ count, batch_size, seed, step }) => ({
      members: new Order(count, batch_size, seed).members(step),
      step_seed: stepSeed(seed, step),
    }))
  },
  async rows() {
    const { bundleIn, fileAt } = await load('train.js')
    const { readRows } = await load('training/rows.js')
    const { batchesOf, trainingRow } = await load('training/batches.js')
    const bundle = await bundleIn(plan.bundle)
    const rows = await readRows(fileAt(plan.rows), bundle)
    const batches = batchesOf(
      rows.examples.map((row) => trainingRow(row, bundle.scoring)), rows.targets, bundle)
    return batches.map(({ tokens, members, inputs }) => ({
      tokens,
      members,
      inputs: Object.fromEntries(Object.entries(inputs).map(([name, v]) => [name, Array.from(v)])),
    }))
  },
  async numbers() {
    const { Float, pythonJson } = await load('training/python_json.js')
    return plan.values.map((value) => pythonJson({ value: new Float(value) }))
  },
  async journal() {
    const { Float } = await load('training/python_json.js')
    const { journalHeader, journalRecord } = await load('training/journal.js')
    const floats = ['lr', 'eps', 'weight_decay']
    const header = Object.fromEntries(Object.entries(plan.header).map(([name, value]) =>
      [name, floats.includes(name) ? new Float(value) : value]))
    const parts = [journalHeader(header)]
    for (const step of plan.steps) parts.push(journalRecord(step, parts.at(-1)))
    return base64(Buffer.concat(parts))
  },
  async train() {
    const { run } = await load('train.js')
    return parametersOf(await run([...plan.flags, `--litert=${plan.litert}`]))
  },
  async open() {
    return parametersOf(await opened())
  },
  async lose() {
    const { mezoStep } = await load('training/mezo.js')
    const model = await opened()
    model.loss = async () => NaN
    try {
      await mezoStep(model, [], plan.step)
    } catch (error) {
      return { error: error.message, parameters: await parametersOf(model) }
    }
  },
}

commands[plan.command]().then((answer) => writeFileSync(answerPath, JSON.stringify(answer)))
