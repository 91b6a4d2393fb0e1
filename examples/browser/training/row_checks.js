// What a model cannot compute with, in rows whose file is whole: it would compute with garbage.

/** The inputs, beside its tokens, that a sequence has one number of, in the order of ENCODED.md. */
export function targetsOf({ style, scoring }) {
  if (scoring === 'tokens') return []
  if (scoring !== 'words') return ['option_start', 'option_tokens']
  return [style === 'masked' ? 'mask_position' : 'last_position']
}

/** What an example has that the bundle does not take, and what was expected; '' for nothing. */
export function problemOf({ golds, sequences }, bundle) {
  const { scoring, sequencesPerRow, words } = bundle
  if (scoring !== 'gold' && sequences.length !== sequencesPerRow) {
    return `${sequences.length} sequences, expected ${sequencesPerRow}`
  }
  for (const sequence of sequences) {
    const problem = problemOfTargets(sequence, bundle) || problemOfTokens(sequence, bundle)
    if (problem) return problem
  }
  if ((scoring === 'tokens') !== (golds.length === 0)) {
    return `${golds.length} right answers, expected ${scoring === 'tokens' ? 0 : '1 or more'}`
  }
  const choices = scoring === 'words' ? words : sequences.length
  return firstOutside('the right answer', golds, 0, choices - 1)
}

/** A position is one of the row's tokens; an option has a token before it and ends in the row. */
function problemOfTargets({ ids, targets }, bundle) {
  if (!('option_start' in targets)) {
    const [name] = Object.keys(targets)
    return name ? firstOutside(name, [targets[name]], 0, ids.length - 1) : ''
  }
  const { option_start: start, option_tokens: tokens } = targets
  const most = Math.min(ids.length - start, bundle.optionTokens)
  return firstOutside('option_start', [start], 1, ids.length - 1)
    || firstOutside('option_tokens', [tokens], 1, most)
}

function problemOfTokens({ ids, lossMask }, { vocabulary }) {
  return firstOutside('token', ids, 0, vocabulary - 1)
    || firstOutside('loss_mask', lossMask ?? [], 0, 1)
}

function firstOutside(what, values, least, most) {
  const wrong = values.find((value) => value < least || value > most)
  return wrong === undefined ? '' : `${what} ${wrong}, expected ${least} to ${most}`
}
