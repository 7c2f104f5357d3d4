/** Ctrl with an arrow up or down over a prompt: the words selected weigh more or less, `(word:1.1)`, as in A1111 (javascript/edit-attention.js, v1.10.1). */

export interface Edited {
  readonly text: string;
  /** The selected words, without their brackets. */
  readonly start: number;
  readonly end: number;
}

const tenth = 0.1;
/** A pair of brackets without a number. */
const bracket = 1.1;
const endOfWord = /[\s.,/!?%^*;:{}=`~()<>[\]|\\]/;

/** The enclosing bracket of a position and its closing bracket; nested ones are skipped. */
function bracketAround(text: string, at: number): readonly [open: number, close: number] | undefined {
  const find = (step: 1 | -1, from: number, wanted: string, other: string): number => {
    let depth = 0;
    for (let i = from; i >= 0 && i < text.length; i += step) {
      if (text[i - 1] === '\\') continue;
      if (text[i] === other) depth++;
      else if (text[i] === wanted && depth-- === 0) return i;
    }
    return -1;
  };
  const open = find(-1, at - 1, '(', ')');
  const close = find(1, at, ')', '(');
  return open < 0 || close < 0 ? undefined : [open, close];
}

/** The selection without surrounding spaces; without a selection, the words in the enclosing brackets, else the word. */
function selectionIn(text: string, start: number, end: number): readonly [start: number, end: number] {
  if (start === end) {
    const around = bracketAround(text, start);
    if (around) {
      const [open, close] = around;
      const weight = /:\s*[+-]?[\d.]+\s*$/.exec(text.slice(open + 1, close));
      return [open + 1, open + 1 + (weight ? weight.index : close - open - 1)];
    }
    while (start > 0 && !endOfWord.test(text.charAt(start - 1))) start--;
    while (end < text.length && !endOfWord.test(text.charAt(end))) end++;
  }
  while (start < end && /\s/.test(text.charAt(start))) start++;
  while (end > start && /\s/.test(text.charAt(end - 1))) end--;
  return [start, end];
}

/** The prompt with the selection's weight a tenth up or down; undefined without a word. A weight of 1 needs no brackets. */
export function weighed(
  text: string,
  selectionStart: number,
  selectionEnd: number,
  direction: 1 | -1,
): Edited | undefined {
  let [start, end] = selectionIn(text, selectionStart, selectionEnd);
  // Brackets that were selected with their words.
  const whole = /^\(([^()]*?)(?::\s*[+-]?[\d.]+\s*)?\)$/.exec(text.slice(start, end));
  if (whole) [start, end] = [start + 1, start + 1 + (whole[1] ?? '').length];
  if (start === end) return undefined;

  const words = text.slice(start, end);
  let [before, after] = [start, end];
  let weight = 1;
  const given = text[start - 1] === '(' ? /^:\s*([+-]?[\d.]+)\s*\)/.exec(text.slice(end)) : null;
  if (given) {
    weight = Number(given[1]);
    if (Number.isNaN(weight)) return undefined;
    [before, after] = [start - 1, end + given[0].length];
  } else {
    for (const [open, close, factor] of [
      ['(', ')', bracket],
      ['[', ']', 1 / bracket],
    ] as const) {
      // `[from:to:when]` and `[one|other]` are not weights.
      if (open === '[' && /[:|]/.test(words)) continue;
      while (text[before - 1] === open && text[after] === close && text[before - 2] !== '\\') {
        before--;
        after++;
        weight *= factor;
      }
    }
    weight = Math.round(weight / tenth) * tenth;
  }
  weight = Number((weight + direction * tenth).toPrecision(12));
  const written = weight === 1 ? words : `(${words}:${Number.isInteger(weight) ? weight.toFixed(1) : weight})`;
  const at = before + (weight === 1 ? 0 : 1);
  return { text: text.slice(0, before) + written + text.slice(after), start: at, end: at + words.length };
}

/** Applies the edit to a field as if typed, so that the browser's undo covers it. */
export function typeInto(field: HTMLTextAreaElement, { text, start, end }: Edited): void {
  const { value } = field;
  let same = 0;
  while (same < value.length && value[same] === text[same]) same++;
  let tail = 0;
  while (
    tail < Math.min(value.length, text.length) - same &&
    value[value.length - 1 - tail] === text[text.length - 1 - tail]
  )
    tail++;
  field.setSelectionRange(same, value.length - tail);
  const piece = text.slice(same, text.length - tail);
  if (!document.execCommand(piece === '' ? 'delete' : 'insertText', false, piece)) {
    field.setRangeText(piece);
    field.dispatchEvent(new Event('input', { bubbles: true }));
  }
  field.setSelectionRange(start, end);
}
