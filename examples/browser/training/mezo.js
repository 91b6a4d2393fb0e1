// One step of MeZO (arXiv 2305.17333): three noise passes, two losses.

import { LossError } from './errors.js'

/**
 * Takes a step. Losses and what is made of them are doubles; a pass takes float32.
 *
 * @param model holds θ, which the step moves
 * @param batches of the step's examples
 * @param number of the step, from 1
 * @param settings {seed, lr, eps}: of this step
 * @returns {{number, seed, losses, slope, lr, eps, passes}} what it measured, and the [seed, scale]
 *   that it applied
 * @throws {LossError} a loss is not finite; θ was put back
 */
export async function mezoStep(model, batches, { number, seed, lr, eps }) {
  const passes = []
  const perturb = async (scale) => {
    passes.push([seed, Math.fround(scale)])
    await model.perturb(seed, scale)
  }
  await perturb(eps)
  const plus = await model.loss(batches)
  await perturb(-2 * eps)
  const minus = await model.loss(batches)
  const slope = (plus - minus) / (2 * eps)
  if (!Number.isFinite(slope)) {
    await perturb(eps)
    throw new LossError(
      `step ${number}: the loss is not finite (loss_plus ${plus}, loss_minus ${minus})`)
  }
  await perturb(eps - lr * slope) // from θ - eps · z back to θ, and down the slope, in one pass
  return { number, seed, losses: [plus, minus], slope, lr, eps, passes }
}
