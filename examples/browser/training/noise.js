// z, computed by the format's own arithmetic, and compared with what the model's graph makes of it.
//
// A run can be replayed only where both are the same bits. Libraries have computed the noise
// wrongly without a word, so a run begins by comparing the z of one seed.

import { RunError } from './errors.js'
import { mix } from './order.js'

const SEED = 0x5eed
const SCALE = Math.fround(0.3)
const TABLES = ['codebook', 'rademacher'] // gaussian takes logarithms, whose last digits differ

/** Returns w(i) of FORMAT.md, a uint32. */
export function word(seed, stream, block) {
  const key = mix(mix(seed ^ 0x7f4a7c15) ^ mix(stream ^ 0x85ebca6b))
  let x = Math.imul(mix(block ^ 0x9e3779b9) ^ key, 0x21f0aaad)
  x = Math.imul(x ^ (x >>> 15), 0xd35a2d97)
  return x >>> 0
}

/** The first `count` values of z, of a kind that has a table in the model's bytes. */
export function noiseValues({ noise, bytes }, { seed, stream, count }) {
  const { rows, columns } = noise
  const table = floats(bytes, noise.offset, rows * columns)
  const shift = Math.clz32(rows) + 1
  const values = new Float32Array(count)
  for (let start = 0; start < count; start += columns) {
    const row = columns * (word(seed, stream, start / columns) >>> shift)
    values.set(table.subarray(row, row + Math.min(columns, count - start)), start)
  }
  return values
}

/** The values that a variable begins with. */
export function initialValues(bundle, name) {
  const { offset, shape } = bundle.variables[name]
  return floats(bundle.bytes, offset, shape.reduce((a, b) => a * b, 1))
}

const floats = (bytes, offset, count) =>
  new Float32Array(bytes.buffer, bytes.byteOffset + offset, count)

/**
 * Takes one noise pass of a model that was just opened, compares θ with the initial values and z,
 * and puts the initial values back.
 *
 * @throws {RunError} a value differs
 */
export async function checkNoise(model) {
  const { bundle } = model
  if (!TABLES.includes(bundle.noise.kind)) return
  await model.perturb(SEED, SCALE)
  for (let slice = 0; slice < bundle.slices; slice++) {
    const values = await model.readSlice(slice)
    const initial = {}
    for (const [name, after] of Object.entries(values)) {
      initial[name] = initialValues(bundle, name)
      const { stream } = bundle.variables[name]
      const z = noiseValues(bundle, { seed: SEED, stream, count: after.length })
      const isSame = after.every((value, i) =>
        value === Math.fround(initial[name][i] + Math.fround(SCALE * z[i])))
      if (!isSame) {
        throw new RunError(`${name}: this LiteRT.js computes another noise than the format's; ` +
          'take the version of @litertjs/core that package.json names')
      }
    }
    await model.writeSlice(slice, initial)
  }
}
