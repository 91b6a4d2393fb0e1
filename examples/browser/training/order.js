// Which examples a step sees, and the seed of its noise: FORMAT.md, "Order of the data".

const EPOCH_SALT = 0x27d4eb2f
const STEP_SALT = 0x165667b1

/** A hash of 32 bits, one to one; a uint32. */
export function mix(value) {
  let x = Math.imul(value ^ (value >>> 16), 0x21f0aaad)
  x = Math.imul(x ^ (x >>> 15), 0xd35a2d97)
  return (x ^ (x >>> 15)) >>> 0
}

/** The seed of a step's noise, an int32; steps count from 1. */
export const stepSeed = (seed, step) => mix(mix(seed ^ STEP_SALT) ^ mix(step)) | 0

/** Epochs in random orders that follow from the seed alone. */
export class Order {
  #epochs = new Map() // the newest two: a step may reach over the end of one

  constructor(count, batchSize, seed) {
    this.count = count
    this.batchSize = batchSize
    this.seed = seed
  }

  /** The places of a step's examples, 0 to count - 1. */
  members(step) {
    const first = (step - 1) * this.batchSize
    return Array.from({ length: this.batchSize }, (_, j) => {
      const epoch = Math.floor((first + j) / this.count)
      return this.#order(epoch)[first + j - epoch * this.count]
    })
  }

  #order(epoch) {
    if (!this.#epochs.has(epoch)) {
      const key = mix(mix(this.seed ^ EPOCH_SALT) ^ mix(epoch))
      const ranks = Float64Array.from({ length: this.count }, (_, i) => mix(i ^ key))
      const order = Uint32Array.from(ranks.keys()).sort((a, b) => ranks[a] - ranks[b])
      for (const older of this.#epochs.keys()) if (older < epoch - 1) this.#epochs.delete(older)
      this.#epochs.set(epoch, order)
    }
    return this.#epochs.get(epoch)
  }
}
