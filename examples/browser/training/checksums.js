// The sums that the formats hold.

import { InputError } from './errors.js'

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1))
  return sum
})

/** zlib's CRC-32 of bytes, as a uint32; begun with another sum it goes on from there. */
export function crc32(bytes, before = 0) {
  let sum = ~before
  for (const byte of bytes) sum = (sum >>> 8) ^ CRC_TABLE[(sum ^ byte) & 0xff]
  return ~sum >>> 0
}

/** SHA-256 of bytes, in hexadecimal. */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new InputError('this address is not safe: browsers compute SHA-256 only for pages of ' +
      'localhost or https; open the page at http://localhost:PORT')
  }
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
