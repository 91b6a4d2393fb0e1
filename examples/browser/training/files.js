// Files as they are given: a browser's File, or what has its `name` and `arrayBuffer()`.

import { InputError } from './errors.js'

/** The bytes of a file; InputError where it cannot be read, as after it was changed. */
export async function bytesOf(file) {
  try {
    return new Uint8Array(await file.arrayBuffer())
  } catch (error) {
    if (error instanceof InputError) throw error
    throw new InputError(`${file.name}: cannot be read (${error.message}); choose it again`)
  }
}
