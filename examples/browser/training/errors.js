/** Bad input. One line for the user: the file, what it holds, what to do. */
export class InputError extends Error {}

/** What failed on the way, in one line. */
export class RunError extends Error {}

/** The loss of a step is not finite; θ is where it was before the step, within rounding. */
export class LossError extends RunError {}

/** What went wrong, in one line, whoever noticed it. */
export const lineOf = (error) => String(error?.message ?? error).split('\n')[0].slice(0, 400)
