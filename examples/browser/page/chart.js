// A chart by steps: points, a line through means, a second line; axes with round numbers.

const MARGIN = { left: 48, right: 12, top: 10, bottom: 38 }
const MOST_POINTS = 600
const NAMESPACE = 'http://www.w3.org/2000/svg'

/**
 * Draws into an <svg>, in its present size.
 *
 * @param svg the element; what was in it is replaced
 * @param series {points, mean, dev}: lists of [step, value], which may be empty
 * @param steps where the horizontal axis ends
 */
export function drawChart(svg, { points = [], mean = [], dev = [] }, steps) {
  const { width, height } = svg.getBoundingClientRect()
  if (!width) return
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`)
  const right = width - MARGIN.right
  const bottom = height - MARGIN.bottom
  const values = [...points, ...mean, ...dev].map(([, value]) => value)
  const across = ticks(0, Math.max(steps, 1), width < 420 ? 4 : 8).filter(Number.isInteger)
  const up = ticks(Math.min(...values), Math.max(...values), 5)
  const [low, high] = [up[0], up.at(-1)]
  const x = (step) => MARGIN.left + (right - MARGIN.left) * step / Math.max(steps, 1)
  const y = (value) => bottom - (bottom - MARGIN.top) * (value - low) / (high - low)

  const drawn = [
    ...up.flatMap((value) => [
      element('line', { class: 'grid', x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }),
      label(shown(value, up), { x: MARGIN.left - 8, y: y(value) + 4, 'text-anchor': 'end' }),
    ]),
    ...across.map((step) =>
      label(step.toLocaleString('en'), { x: x(step), y: bottom + 18, 'text-anchor': 'middle' })),
    label('step', { x: (MARGIN.left + right) / 2, y: height - 4, 'text-anchor': 'middle' }),
  ]
  const dots = element('g', { class: 'points' })
  dots.append(...thinned(points).map(([step, value]) =>
    element('circle', { cx: x(step), cy: y(value), r: 2 })))
  drawn.push(dots, line('mean', thinned(mean), x, y), line('dev', dev, x, y))
  drawn.push(...dev.map(([step, value]) =>
    element('circle', { class: 'dev', cx: x(step), cy: y(value), r: 4 })))
  svg.replaceChildren(...drawn)
}

function element(name, attributes) {
  const node = document.createElementNS(NAMESPACE, name)
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value)
  return node
}

function label(text, attributes) {
  const node = element('text', attributes)
  node.textContent = text
  return node
}

const line = (name, points, x, y) =>
  element('polyline', { class: name, points: points.map(([s, v]) => `${x(s)},${y(v)}`).join(' ') })

function thinned(points) {
  const every = Math.ceil(points.length / MOST_POINTS)
  return every > 1 ? points.filter((_, i) => i % every === 0 || i === points.length - 1) : points
}

/** About `count` round numbers that enclose two values; 0 to 1 where there are none. */
export function ticks(low, high, count) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return ticks(0, 1, count)
  const around = (Math.abs(low) || 1) / 20
  if (high === low) return ticks(low - around, low + around, count)
  const span = high - low
  const rough = span / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough)
  const first = Math.floor(low / step)
  const last = Math.max(Math.ceil(high / step), first + 1)
  const round = (value) => Number(value.toPrecision(12))
  return Array.from({ length: last - first + 1 }, (_, i) => round((first + i) * step))
}

/** A tick's text, with the digits that its distance to the next wants. */
function shown(value, all) {
  const digits = Math.max(0, -Math.floor(Math.log10(all[1] - all[0]) + 1e-9))
  return value.toFixed(digits)
}
