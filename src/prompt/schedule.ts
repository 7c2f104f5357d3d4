/**
 * Prompts that change during sampling: `[from:to:0.5]`, `[to:5]`, `[from::5]`, `[a|b|c]`, nested
 * (`get_learned_conditioning_prompt_schedules`, modules/prompt_parser.py of A1111 v1.10.1).
 *
 * The grammar is ambiguous and its parser general; the effect is this. A bracket belongs to a construct if it has a partner
 * and all between is well formed, else it is text, and so are all that are open around it. A colon outside of a construct is text. A `|`
 * outside of `[a|b]`, or a backslash at the end of a line, makes the whole prompt plain text. (If a construct is next to a stray
 * bracket, the original reads it as text in some runs of Python and not in others, by the order of a set. Here it is a construct.)
 */

import { StableDiffusionError } from '../errors.ts';
import { PYTHON_SPACE } from '../tokenizer/unicode-text.ts';

/** A text, and the last step it is for. */
export type ScheduledText = readonly [endStep: number, text: string];

export interface ScheduleOptions {
  /** Model calls that A1111 expects, so two for each step of a sampler of second order (`totalCalls`). */
  readonly steps: number;
  /** Steps of the previous pass: in the second pass of A1111's "hires. fix" whole numbers continue from there, and fractions start at 1. */
  readonly firstPassSteps?: number | undefined;
  /** A1111's rule before 1.6 ("old prompt editing timelines"): numbers below 1 are fractions, and the second pass starts over. Default: numbers with a decimal point are fractions. */
  readonly oldRule?: boolean | undefined;
}

type Item = string | Scheduled | Alternate;

interface Scheduled {
  readonly kind: 'scheduled';
  readonly depth: number;
  readonly before: readonly Item[];
  readonly after: readonly Item[];
  /** The text as written. */
  readonly when: string;
}

interface Alternate {
  readonly kind: 'alternate';
  readonly depth: number;
  readonly choices: readonly (readonly Item[])[];
}

/** Constructs in constructs; beyond it is a slip, or an attack. (A1111's own limit is the depth of Python's stack.) */
const deepest = 250;

/** A bracket that is open: where its content begins, and where the separators in it are. */
interface Frame {
  readonly bracket: string;
  readonly start: number;
  readonly separators: number[];
}

const pieces = /(?:[^\\[\]():|]|\\[^\n])+|[[\]():|\\]/g;
const moment = new RegExp(
  `^[${PYTHON_SPACE}]*([+-]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:[eE][+-]?\\d+)?)[${PYTHON_SPACE}]*$`,
);

/** The prompt's items, or undefined where the grammar has none for it. */
function parse(prompt: string): Item[] | undefined {
  const items: Item[] = [];
  let open: Frame[] = [];
  for (const [piece] of prompt.matchAll(pieces)) {
    if (piece === '\\') return undefined;
    const frame = open.at(-1);
    if (piece === '[' || piece === '(') {
      items.push(piece);
      open.push({ bracket: piece, start: items.length, separators: [] });
    } else if (piece === ':' || piece === '|') {
      frame?.separators.push(items.length);
      if (!frame && piece === '|') return undefined;
      items.push(piece);
    } else if (piece === ']' || piece === ')') {
      const closed = frame && (piece === ']') === (frame.bracket === '[') ? construct(items, frame) : undefined;
      if (typeof closed === 'object' && closed.depth > deepest)
        throw new StableDiffusionError('too-large', `The prompt has more than ${deepest} schedules, one in the other.`);
      if (closed) open.pop();
      else if (open.some(({ separators }) => separators.some((at) => items[at] === '|'))) return undefined;
      else open = [];
      if (frame && typeof closed === 'object') items.splice(frame.start - 1, items.length, closed);
      else items.push(piece);
    } else items.push(piece);
  }
  return open.some(({ separators }) => separators.some((at) => items[at] === '|')) ? undefined : items;
}

/** The meaning of a bracket and its content: a construct, `text` for emphasis (unchanged), or undefined for neither. */
function construct(
  items: readonly Item[],
  { bracket, start, separators }: Frame,
): Scheduled | Alternate | 'text' | undefined {
  const bars = separators.filter((at) => items[at] === '|').length;
  if (bars > 0) {
    if (bracket === '(' || bars < separators.length) return undefined;
    return {
      kind: 'alternate',
      depth: depthOf(items, start),
      choices: [start, ...separators.map((at) => at + 1)].map((from, i) => items.slice(from, separators[i])),
    };
  }
  if (separators.length === 0 || (bracket === '(' && separators.length === 1)) return 'text';
  const last = separators.at(-1) as number;
  const [written, ...more] = items.slice(last + 1);
  const when = typeof written === 'string' && more.length === 0 ? moment.exec(written)?.[1] : undefined;
  if (bracket === '(' || separators.length > 2 || when === undefined) return undefined;
  const [first = last] = separators;
  const depth = depthOf(items, start);
  return separators.length === 1
    ? { kind: 'scheduled', depth, before: [], after: items.slice(start, last), when }
    : { kind: 'scheduled', depth, before: items.slice(start, first), after: items.slice(first + 1, last), when };
}

/** One more than the depth of the deepest construct from there on. */
const depthOf = (items: readonly Item[], start: number): number =>
  items.slice(start).reduce((most, item) => (typeof item === 'string' ? most : Math.max(most, item.depth + 1)), 1);

/** The last step of `before`. */
function stepOf(when: string, { steps, firstPassSteps, oldRule }: ScheduleOptions): number {
  const value = Number(when);
  const later = firstPassSteps !== undefined && !oldRule;
  const isShare = oldRule ? value < 1 : when.includes('.');
  const step = isShare ? (value - (later ? 1 : 0)) * steps : value - (later ? firstPassSteps : 0);
  return Math.min(steps, Math.trunc(step));
}

/** All steps at which the text may change. */
function collectEnds(items: readonly Item[], options: ScheduleOptions, ends: Set<number>): void {
  for (const item of items) {
    if (typeof item === 'string') continue;
    if (item.kind === 'alternate') {
      for (let step = 1; step <= options.steps; step++) ends.add(step);
      for (const choice of item.choices) collectEnds(choice, options, ends);
    } else {
      const end = stepOf(item.when, options);
      if (end >= 1) ends.add(end);
      collectEnds(item.before, options, ends);
      collectEnds(item.after, options, ends);
    }
  }
}

function textAt(step: number, items: readonly Item[], options: ScheduleOptions): string {
  return items
    .map((item) => {
      if (typeof item === 'string') return item;
      if (item.kind === 'alternate') return textAt(step, item.choices[(step - 1) % item.choices.length] ?? [], options);
      return textAt(step, step <= stepOf(item.when, options) ? item.before : item.after, options);
    })
    .join('');
}

/**
 * The texts of a prompt, by the last step each is for; the last one's is `steps`.
 * @throws `too-large` for schedules that are nested too deep
 */
export function promptSchedule(prompt: string, given: ScheduleOptions): ScheduledText[] {
  // The old rule has no second pass: its steps are those of the first.
  const options =
    given.oldRule && given.firstPassSteps !== undefined ? { ...given, steps: given.firstPassSteps } : given;
  const items = parse(prompt);
  if (!items) return [[options.steps, prompt]];
  const ends = new Set([options.steps]);
  collectEnds(items, options, ends);
  return [...ends].sort((a, b) => a - b).map((end) => [end, textAt(end, items, options)]);
}

/**
 * The text of a schedule for a model call, counted from 0 (`reconstruct_cond_batch`). It compares this count with steps
 * counted from 1, so the first text lasts one call longer than stated; after the last step it returns to the first text.
 */
export function scheduledIndex(schedule: readonly ScheduledText[], call: number): number {
  return Math.max(
    0,
    schedule.findIndex(([end]) => call <= end),
  );
}
