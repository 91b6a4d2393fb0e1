// What is shown of a run while it goes on.

import { drawChart } from './chart.js'

const WINDOW = 20 // steps that a mean is of: one minibatch says little

export class RunView {
  #$
  #steps = 1
  #points = []
  #means = []
  #devLosses = []
  #accuracies = []
  #seconds = []
  #isDue = false

  /** @param $ returns an element by its id */
  constructor($) {
    this.#$ = $
    new ResizeObserver(() => this.#draw()).observe($('loss-chart'))
  }

  /** A run is about to begin. */
  clear() {
    this.#points = []
    this.#means = []
    this.#devLosses = []
    this.#accuracies = []
    this.#seconds = []
    this.#$('progress').value = 0
    this.#$('accuracy-figure').hidden = true
    for (const id of ['loss', 'accuracy', 'seconds', 'memory']) this.#$(id).textContent = '–'
    this.#$('download').hidden = this.#$('download-facts').hidden = true
    this.say('Checking the files …')
    this.#draw()
  }

  begin(steps) {
    this.#steps = steps
    this.say('Opening the model …')
  }

  step({ number, losses }, seconds, heapBytes) {
    this.#points.push([number, (losses[0] + losses[1]) / 2])
    const window = this.#points.slice(-WINDOW)
    const mean = window.reduce((sum, [, loss]) => sum + loss, 0) / window.length
    this.#means.push([number, mean])
    this.#seconds.push(seconds)
    const recent = this.#seconds.slice(-WINDOW)
    const pace = recent.reduce((a, b) => a + b) / recent.length
    this.#$('progress').value = number / this.#steps
    this.#$('loss').textContent = mean.toFixed(4)
    this.#$('seconds').textContent = `${pace < 0.1 ? pace.toFixed(3) : pace.toFixed(2)} s`
    this.#$('memory').textContent = `${(heapBytes / 1e6).toFixed(0)} MB`
    const left = duration(pace * (this.#steps - number))
    const [count, steps] = [number, this.#steps].map((value) => value.toLocaleString('en'))
    this.say(`Step ${count} of ${steps}, ${left} left`)
    this.#later()
  }

  evaluation(step, { accuracy, loss }) {
    this.#devLosses.push([step, loss])
    if (accuracy !== null) {
      this.#accuracies.push([step, 100 * accuracy])
      this.#$('accuracy').textContent = `${(100 * accuracy).toFixed(1)} %`
      this.#$('accuracy-figure').hidden = false
    }
    this.#later()
  }

  end(count) {
    const end = count === this.#steps ? 'Done' : 'Stopped'
    this.say(`${end} after ${count.toLocaleString('en')} steps.`)
    this.#later()
  }

  say(text) {
    this.#$('status').textContent = text
  }

  fail(text) {
    this.#$('error').textContent = text
    this.#$('error').hidden = false
    this.say('Not running.')
  }

  clearError() {
    this.#$('error').hidden = true
  }

  /** Draws once a frame at most. */
  #later() {
    if (this.#isDue) return
    this.#isDue = true
    requestAnimationFrame(() => this.#draw())
  }

  #draw() {
    this.#isDue = false
    const losses = { points: this.#points, mean: this.#means, dev: this.#devLosses }
    drawChart(this.#$('loss-chart'), losses, this.#steps)
    if (this.#accuracies.length) {
      drawChart(this.#$('accuracy-chart'), { dev: this.#accuracies }, this.#steps)
    }
  }
}

function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
