// JSON in the spelling of Python's json module: what a run's files hold is then the same bytes,
// whichever program wrote them.

/** A number that Python would call a float. */
export class Float {
  constructor(value) {
    this.value = value
  }
}

/** JSON on one line, or with `indent` spaces a level; `sorted` puts the keys in order. */
export function pythonJson(value, { indent = 0, sorted = false } = {}) {
  const spell = (item, level) => {
    if (item instanceof Float) return spelledFloat(item.value)
    if (typeof item === 'string') return spelledString(item, indent > 0)
    if (item === null || typeof item !== 'object') return JSON.stringify(item)
    const names = Object.keys(item)
    if (sorted) names.sort()
    const inner = names.map((name) => Array.isArray(item)
      ? spell(item[name], level + 1)
      : `${spelledString(name, indent > 0)}: ${spell(item[name], level + 1)}`)
    const [open, close] = Array.isArray(item) ? '[]' : '{}'
    if (!inner.length || !indent) return open + inner.join(', ') + close
    const margin = '\n' + ' '.repeat(indent * level)
    const separator = ',' + margin + ' '.repeat(indent)
    return open + margin + ' '.repeat(indent) + inner.join(separator) + margin + close
  }
  return spell(value, 0)
}

/** The shortest digits that read back as the number; an exponent below 1e-4 and from 1e16 on. */
function spelledFloat(value) {
  if (!Number.isFinite(value)) throw new RangeError(`${value} is no number of JSON`)
  const [digits, exponent] = value.toExponential().split('e')
  const power = Number(exponent)
  if (value !== 0 && (power < -4 || power >= 16)) {
    const sign = power < 0 ? '-' : '+'
    return `${digits}e${sign}${String(Math.abs(power)).padStart(2, '0')}`
  }
  const text = Object.is(value, -0) ? '-0' : String(value)
  return text.includes('.') ? text : `${text}.0`
}

function spelledString(text, isUnicode) {
  const quoted = JSON.stringify(text)
  if (isUnicode) return quoted
  const escaped = (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')
  return quoted.replace(/[\x7f-\uffff]/g, escaped)
}
