/**
 * Values of an axis of A1111's X/Y/Z plot (scripts/xyz_grid.py, v1.10.1): a line of CSV with ranges: `1-5`, `1-5 (+2)`, `1-10 [5]`.
 */

import { StableDiffusionError } from '../../errors.ts';

export type AxisKind = 'whole' | 'real' | 'text' | 'order';
export type AxisValue = number | string | readonly string[];

/** Most values of one axis. */
const mostValues = 1000;

const tooMany = (): StableDiffusionError =>
  new StableDiffusionError('too-large', `An axis of a plot has at most ${mostValues} values.`);

/** Cells of CSV, without the spaces around them. A cell in double quotes may hold commas. */
export function csvCells(text: string): string[] {
  const cells: string[] = [];
  let [cell, isQuoted, isOpen] = ['', false, false];
  const end = (): void => {
    cells.push(cell.trim());
    [cell, isQuoted, isOpen] = ['', false, false];
  };
  for (let i = 0; i < text.length; i++) {
    const character = text[i] as string;
    if (isOpen && character === '"' && text[i + 1] === '"') {
      cell += '"';
      i++;
    } else if (character === '"' && (isOpen || cell.trim() === '')) {
      if (!isQuoted) cell = '';
      isQuoted = true;
      isOpen = !isOpen;
    } else if (!isOpen && (character === ',' || character === '\n')) end();
    else cell += character;
  }
  if (cell !== '' || isQuoted || cells.length > 0) end();
  return cells;
}

const whole = '((?:[+-]\\s*)?\\d+)';
const real = '((?:[+-]\\s*)?\\d+(?:\\.\\d*)?)';
const stepOf = { whole: '([+-]\\d+)', real: '([+-]\\d+(?:\\.\\d*)?)' } as const;
const patterns = (kind: 'whole' | 'real') => {
  const number = kind === 'whole' ? whole : real;
  return {
    range: new RegExp(`^${number}\\s*-\\s*${number}(?:\\s*\\(${stepOf[kind]}\\s*\\))?$`),
    count: new RegExp(`^${number}\\s*-\\s*${number}\\s*\\[(\\d+)\\s*\\]$`),
  };
};
const ranges = { whole: patterns('whole'), real: patterns('real') } as const;

const numberOf = (text: string | undefined): number => Number((text ?? '').replace(/\s/g, ''));

/** numpy's `linspace`, ends included. */
function spread(from: number, to: number, count: number): number[] {
  if (count > mostValues) throw tooMany();
  const step = count > 1 ? (to - from) / (count - 1) : 0;
  return Array.from({ length: count }, (_, i) => (i > 0 && i === count - 1 ? to : from + i * step));
}

/** Python's `range(from, to + 1, step)`, numpy's `arange(from, to + step, step)`. */
function stepped(from: number, to: number, step: number, kind: 'whole' | 'real'): number[] {
  if (step === 0) throw new StableDiffusionError('invalid-argument', 'A range of a plot cannot have the step 0.');
  const end = kind === 'whole' ? to + 1 : to + step;
  const count = Math.max(0, Math.ceil((end - from) / step));
  if (count > mostValues) throw tooMany();
  return Array.from({ length: count }, (_, i) => from + i * step);
}

function numbersOf(cell: string, kind: 'whole' | 'real'): number[] {
  const text = cell.slice(0, 200);
  const range = ranges[kind].range.exec(text);
  if (range)
    return stepped(numberOf(range[1]), numberOf(range[2]), range[3] === undefined ? 1 : numberOf(range[3]), kind);
  const count = ranges[kind].count.exec(text);
  if (count) {
    const values = spread(numberOf(count[1]), numberOf(count[2]), numberOf(count[3]));
    return kind === 'whole' ? values.map(Math.trunc) : values;
  }
  const value = text === '' ? Number.NaN : Number(text);
  if (kind === 'whole' ? Number.isInteger(value) : Number.isFinite(value)) return [value];
  throw new StableDiffusionError(
    'invalid-argument',
    `${JSON.stringify(text)} is not a ${kind === 'whole' ? 'whole number' : 'number'}, and no range such as 1-5, 1-5 (+2) or 1-10 [5].`,
  );
}

/** All orders of some words, as Python's `permutations`. */
function orders(words: readonly string[]): string[][] {
  let count = 1;
  for (let n = 2; n <= words.length; n++) {
    count *= n;
    if (count > mostValues) throw tooMany();
  }
  if (words.length === 0) return [];
  const arrange = (left: readonly string[]): string[][] =>
    left.length <= 1
      ? [[...left]]
      : left.flatMap((word, i) => arrange(left.filter((_, k) => k !== i)).map((rest) => [word, ...rest]));
  return arrange(words);
}

/** The values that cells mean. Throws `invalid-argument`, `too-large`. */
export function axisValues(cells: readonly string[], kind: AxisKind): readonly AxisValue[] {
  if (kind === 'order') return orders(cells);
  const values = kind === 'text' ? [...cells] : cells.flatMap((cell) => numbersOf(cell, kind));
  if (values.length > mostValues) throw tooMany();
  return values;
}
