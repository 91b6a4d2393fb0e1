// A zip archive of a few files, stored as they are.

import { crc32 } from '../training/checksums.js'
import { joined } from '../training/run.js'

const LOCAL = 0x04034b50
const CENTRAL = 0x02014b50
const END = 0x06054b50
const VERSION = 20
const NEW_YEAR_1980 = 0x21 // the archive's first day: a run has no time of its own

/** The bytes of an archive of [name, bytes]; names are ASCII. */
export function zipped(files) {
  const parts = []
  const directory = []
  let place = 0
  for (const [name, bytes] of files) {
    const text = new TextEncoder().encode(name)
    const described = [
      [2, VERSION], [2, 0], [2, 0], [2, 0], [2, NEW_YEAR_1980], [4, crc32(bytes)],
      [4, bytes.length], [4, bytes.length], [2, text.length], [2, 0],
    ]
    const local = joined([packed([[4, LOCAL], ...described]), text, bytes])
    const further = [[2, 0], [2, 0], [2, 0], [4, 0], [4, place]]
    directory.push(packed([[4, CENTRAL], [2, VERSION], ...described, ...further]), text)
    parts.push(local)
    place += local.length
  }
  const listed = joined(directory)
  const counts = [[2, files.length], [2, files.length], [4, listed.length], [4, place], [2, 0]]
  return joined([...parts, listed, packed([[4, END], [2, 0], [2, 0], ...counts])])
}

/** Little-endian numbers of [how many bytes, value]. */
function packed(numbers) {
  const bytes = new Uint8Array(numbers.reduce((sum, [size]) => sum + size, 0))
  const view = new DataView(bytes.buffer)
  let place = 0
  for (const [size, value] of numbers) {
    if (size === 2) view.setUint16(place, value, true)
    else view.setUint32(place, value, true)
    place += size
  }
  return bytes
}
