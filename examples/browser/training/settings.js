// What a run's steps depend on, beside the bundle and the rows.

import { InputError } from './errors.js'

// Where to begin, by what is trained: those of `pocketllm quickstart`. MeZO has no best rate.
const RATES = { full: 1e-4, lora: 1e-2, prefix: 6 }

/** What a run takes where nothing is given. */
export const defaultsOf = (bundle) => ({
  batchSize: 8,
  seed: 0,
  evalEvery: 0,
  lr: RATES[bundle.tune] ?? '',
  eps: bundle.defaultEps,
})

const whole = (least, most = Number.MAX_SAFE_INTEGER) => ({
  fits: (value) => Number.isSafeInteger(value) && value >= least && value <= most,
  expected: `a whole number from ${least}`,
})
const positive = { fits: (value) => value > 0 && value < 1e30, expected: 'a number above 0' }
const EXPECTED = {
  steps: whole(1, 2 ** 32 - 1),
  batchSize: whole(1),
  lr: positive,
  eps: positive,
  seed: whole(0, 2 ** 31 - 1),
  evalEvery: whole(0),
}

/** {steps, batchSize, lr, eps, seed, evalEvery} from texts; InputError names the wrong one. */
export function readSettings(texts, defaults, nameOf) {
  return Object.fromEntries(Object.entries(EXPECTED).map(([key, { fits, expected }]) => {
    const text = String(texts[key] ?? '').trim() || String(defaults[key] ?? '')
    const value = text === '' ? NaN : Number(text)
    if (!fits(value)) {
      throw new InputError(text === ''
        ? `${nameOf(key)} is missing: expected ${expected}`
        : `${nameOf(key)}=${text}: expected ${expected}`)
    }
    return [key, value]
  }))
}
