// The journal of a run: JOURNAL.md. A record says what a step applied to the parameters.

import { FORMAT_VERSION } from './bundle.js'
import { crc32 } from './checksums.js'
import { pythonJson } from './python_json.js'

const MAGIC = 'PLLMJRN3'

/** The bytes before the first record. */
export function journalHeader(description) {
  const { steps: _, ...rest } = description // the length of the run may be raised later
  const values = { ...rest, format_version: FORMAT_VERSION }
  const text = new TextEncoder().encode(pythonJson(values, { sorted: true }))
  const bytes = new Uint8Array(16 + text.length)
  const view = new DataView(bytes.buffer)
  bytes.set(new TextEncoder().encode(MAGIC))
  view.setUint32(8, text.length, true)
  bytes.set(text, 12)
  view.setUint32(12 + text.length, crc32(bytes.subarray(0, -4)), true)
  return bytes
}

/** A step's record; `before` are the bytes in front of it, whose last four begin its checksum. */
export function journalRecord(step, before) {
  const { losses, passes } = step
  const bytes = new Uint8Array(32 + 8 * losses.length + 8 * passes.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, step.number, true)
  view.setUint16(4, losses.length, true)
  view.setUint16(6, passes.length, true)
  view.setFloat64(8, step.lr, true)
  view.setFloat64(16, step.eps, true)
  view.setFloat32(24, 0, true) // no weight decay
  let place = 28
  for (const loss of losses) {
    view.setFloat64(place, loss, true)
    place += 8
  }
  for (const [seed, scale] of passes) {
    view.setInt32(place, seed, true)
    view.setFloat32(place + 4, scale, true)
    place += 8
  }
  const chained = new DataView(before.buffer, before.byteOffset + before.length - 4)
  view.setUint32(place, crc32(bytes.subarray(0, place), chained.getUint32(0, true)), true)
  return bytes
}
