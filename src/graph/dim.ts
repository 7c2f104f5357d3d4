/**
 * Dim: one dimension of a shape in a graph, a whole number or a polynomial in symbols such as `batch` or `height`.
 *
 * Networks are traced once with symbolic sizes; shape rules then calculate with dimensions as they would with numbers. A network that
 * needs sizes divisible by 8 declares its input as `8 * height`, so that halving it three times stays exact.
 */

import { StableDiffusionError } from '../errors.ts';

/** A polynomial: coefficient by monomial. A monomial is its atoms, sorted, joined by `*`; the constant term has the key ''. */
export interface SymbolicDim {
  readonly terms: ReadonlyMap<string, number>;
}

export type Dim = number | SymbolicDim;

/** Values of symbols by name. */
export type Bindings = Pick<ReadonlyMap<string, number>, 'get'>;

/** A rounded-down quotient that did not come out even is an atom of its own, written `⌊(terms)/divisor⌋`. */
const quotient = /^⌊\((.*)\)\/(\d+)⌋$/;

/** The symbol `name` as a dimension. */
export function dim(name: string): Dim {
  return { terms: new Map([[name, 1]]) };
}

function termsOf(value: Dim): ReadonlyMap<string, number> {
  return typeof value === 'number' ? new Map([['', value]]) : value.terms;
}

function normal(terms: Map<string, number>): Dim {
  for (const [monomial, coefficient] of terms) if (coefficient === 0) terms.delete(monomial);
  if (terms.size === 0) return 0;
  const constant = terms.get('');
  if (terms.size === 1 && constant !== undefined) return constant;
  return { terms: new Map([...terms].sort(([a], [b]) => (a < b ? -1 : 1))) };
}

/** Splits a monomial into its atoms; a quotient in brackets is one atom. */
function atoms(monomial: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= monomial.length; i++) {
    const character = monomial[i];
    if (character === '⌊') depth++;
    else if (character === '⌋') depth--;
    if ((character === '*' && depth === 0) || i === monomial.length) {
      if (i > start) parts.push(monomial.slice(start, i));
      start = i + 1;
    }
  }
  return parts;
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  const sum = new Map(termsOf(a));
  for (const [monomial, coefficient] of termsOf(b)) sum.set(monomial, (sum.get(monomial) ?? 0) + coefficient);
  return normal(sum);
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  const product = new Map<string, number>();
  for (const [left, x] of termsOf(a)) {
    for (const [right, y] of termsOf(b)) {
      const monomial = [...atoms(left), ...atoms(right)].sort().join('*');
      product.set(monomial, (product.get(monomial) ?? 0) + x * y);
    }
  }
  return normal(product);
}

export function subtractDims(a: Dim, b: Dim): Dim {
  return addDims(a, multiplyDims(b, -1));
}

/** ⌊value / divisor⌋ for a positive whole divisor. Exact where every symbol's coefficient is divisible. */
export function divideDim(value: Dim, divisor: number): Dim {
  if (typeof value === 'number') return Math.floor(value / divisor);
  const divided = new Map<string, number>();
  let constant = 0;
  for (const [monomial, coefficient] of value.terms) {
    if (monomial === '') constant = coefficient;
    else if (coefficient % divisor === 0) divided.set(monomial, coefficient / divisor);
    else return dim(`⌊(${dimText(value)})/${divisor}⌋`);
  }
  divided.set('', Math.floor(constant / divisor));
  return normal(divided);
}

/** Product of dimensions; 1 for none. */
export function productOfDims(dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>((product, size) => multiplyDims(product, size), 1);
}

/** value / factor where both are known to divide evenly; undefined where they do not, symbol for symbol. */
export function exactQuotient(value: Dim, factor: Dim): Dim | undefined {
  if (typeof factor === 'number') {
    if (factor === 0) return undefined;
    for (const coefficient of termsOf(value).values()) if (coefficient % factor !== 0) return undefined;
    return divideDim(value, factor);
  }
  const [first, ...others] = factor.terms;
  if (first === undefined || others.length > 0) return equalDims(value, factor) ? 1 : undefined;
  const [monomial, coefficient] = first;
  const result = new Map<string, number>();
  for (const [term, amount] of termsOf(value)) {
    const rest = atoms(term);
    for (const atom of atoms(monomial)) {
      const at = rest.indexOf(atom);
      if (at < 0) return undefined;
      rest.splice(at, 1);
    }
    if (amount % coefficient !== 0) return undefined;
    result.set(rest.join('*'), amount / coefficient);
  }
  return normal(result);
}

export function equalDims(a: Dim, b: Dim): boolean {
  return dimText(a) === dimText(b);
}

export function equalShapes(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((size, i) => equalDims(size, b[i] as Dim));
}

/** `8*height + 1`: canonical, so that equal dimensions have equal texts. */
export function dimText(value: Dim): string {
  if (typeof value === 'number') return String(value);
  return [...value.terms]
    .map(([monomial, coefficient]) =>
      monomial === '' ? String(coefficient) : coefficient === 1 ? monomial : `${coefficient}*${monomial}`,
    )
    .join(' + ');
}

export function shapeText(shape: readonly Dim[]): string {
  return `[${shape.map(dimText).join(', ')}]`;
}

/** Reads back what `dimText` wrote. */
function parseDim(text: string): Dim {
  const terms = new Map<string, number>();
  let depth = 0;
  let start = 0;
  const pieces: string[] = [];
  for (let i = 0; i <= text.length; i++) {
    if (text[i] === '⌊') depth++;
    else if (text[i] === '⌋') depth--;
    else if (i === text.length || (depth === 0 && text.startsWith(' + ', i))) {
      pieces.push(text.slice(start, i));
      start = i + 3;
    }
  }
  for (const piece of pieces) {
    const [head, ...rest] = atoms(piece);
    const coefficient = head !== undefined && /^-?\d+$/.test(head) ? Number(head) : undefined;
    const monomial = coefficient === undefined ? piece : rest.join('*');
    terms.set(monomial, (terms.get(monomial) ?? 0) + (coefficient ?? 1));
  }
  return normal(terms);
}

/** A dimension as the sum of products the ONNX emitter calculates: each term a coefficient and its atoms; an atom is a symbol or a quotient. */
export interface DimTerm {
  readonly coefficient: number;
  readonly atoms: readonly DimAtom[];
}
export type DimAtom = { readonly symbol: string } | { readonly numerator: Dim; readonly divisor: number };

export function dimTerms(value: Dim): readonly DimTerm[] {
  return [...termsOf(value)].map(([monomial, coefficient]) => ({ coefficient, atoms: atoms(monomial).map(readAtom) }));
}

function readAtom(atom: string): DimAtom {
  const match = quotient.exec(atom);
  return match ? { numerator: parseDim(match[1] as string), divisor: Number(match[2]) } : { symbol: atom };
}

/** The number a dimension is, given its symbols. Throws `shape-mismatch` for a symbol without a value. */
export function evaluateDim(value: Dim, bindings: Bindings): number {
  if (typeof value === 'number') return value;
  let sum = 0;
  for (const term of dimTerms(value)) {
    let product = term.coefficient;
    for (const atom of term.atoms) {
      if ('symbol' in atom) {
        const bound = bindings.get(atom.symbol);
        if (bound === undefined)
          throw new StableDiffusionError(
            'shape-mismatch',
            `The dimension ${dimText(value)} depends on ${atom.symbol}, which no input sets.`,
          );
        product *= bound;
      } else product *= Math.floor(evaluateDim(atom.numerator, bindings) / atom.divisor);
    }
    sum += product;
  }
  return sum;
}

export function evaluateShape(shape: readonly Dim[], bindings: Bindings): number[] {
  return shape.map((size) => evaluateDim(size, bindings));
}

/**
 * Finds the symbols that make a declared input shape equal an actual one, adding them to `bindings`.
 * A declared dimension may be a number or one symbol times a whole number. Throws `shape-mismatch`, naming the input.
 */
export function bindShape(
  name: string,
  declared: readonly Dim[],
  actual: readonly number[],
  bindings: Map<string, number>,
): void {
  const fail = (reason: string): never => {
    throw new StableDiffusionError(
      'shape-mismatch',
      `Input ${name} has shape [${actual.join(', ')}], and ${shapeText(declared)} was expected: ${reason}.`,
    );
  };
  if (declared.length !== actual.length) fail(`${declared.length} dimensions, not ${actual.length}`);
  for (const [axis, size] of declared.entries()) {
    const found = actual[axis] as number;
    if (typeof size === 'number') {
      if (size !== found) fail(`dimension ${axis} must be ${size}`);
      continue;
    }
    const terms = dimTerms(size);
    const only = terms[0];
    const atom = only?.atoms[0];
    if (terms.length === 1 && only && only.atoms.length === 1 && atom && 'symbol' in atom) {
      const value = found / only.coefficient;
      if (!Number.isInteger(value) || value < 1)
        fail(`dimension ${axis} must be a positive multiple of ${only.coefficient}`);
      const before = bindings.get(atom.symbol);
      if (before !== undefined && before !== value)
        fail(`dimension ${axis} must be ${before * only.coefficient}, as another input has it`);
      bindings.set(atom.symbol, value);
    } else if (evaluateDim(size, bindings) !== found)
      fail(`dimension ${axis} must be ${dimText(size)} = ${evaluateDim(size, bindings)}`);
  }
}
