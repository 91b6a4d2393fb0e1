// A bundle's signatures, as a run calls them; θ are its parameters.

import { checkNoise } from './noise.js'

export class Model {
  constructor(bundle, engine) {
    this.bundle = bundle
    this.engine = engine
  }

  /** Brings the initial values in, and compares the noise with the format's. */
  async begin() {
    for (let slice = 0; slice < this.bundle.slices; slice++) {
      await this.engine.run(`initialize_${slice}`)
    }
    await checkNoise(this)
  }

  /** θ ← θ + scale · z(seed), in place; `scale` becomes a float32. */
  async perturb(seed, scale) {
    await this.engine.run('perturb_and_update', {
      seed: Int32Array.of(seed),
      scale: Float32Array.of(scale),
    })
  }

  /** {loss, weight_sum, logits} of one batch. */
  forward(batch) {
    return this.engine.run(`forward_loss_${batch.tokens}`, batch.inputs)
  }

  /** Mean loss over batches, joined by their weights in double precision. */
  async loss(batches) {
    let total = 0
    let weight = 0
    for (const batch of batches) {
      const outputs = await this.forward(batch)
      total += outputs.loss[0] * outputs.weight_sum[0]
      weight += outputs.weight_sum[0]
    }
    return total / weight
  }

  /** {variable: its values} of a slice of θ. */
  readSlice(slice) {
    return this.engine.run(`read_${slice}`)
  }

  /** Replaces a slice of θ. */
  async writeSlice(slice, values) {
    await this.engine.run(`write_${slice}`, values)
    this.engine.release(`write_${slice}`)
  }
}
