/**
 * Dynamic prompts, in the syntax and with the random numbers of sd-dynamic-prompts (dynamicprompts 0.31, its random generator): `{a|b}`,
 * `{2$$a|b|c}`, `{1-2$$ and $$a|b}`, weights `{0.5::a|b}`, files of lines `__name__`, variables `${name={a|b}}`.
 * Combinatorial (`!`) and cyclical (`@`) choices and wrapping (`%{…}`) are refused.
 */

import { StableDiffusionError } from '../errors.ts';
import { PythonRandom } from '../random/python-random.ts';
import type { Seed } from '../random/seed.ts';
import { withoutEnd } from './strip.ts';

/** Lines of the files that a pattern such as `animals/*` names, in order; empty for none. */
export type Wildcards = (pattern: string) => readonly string[];

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'sequence'; readonly parts: readonly Node[] }
  | { readonly kind: 'wildcard'; readonly path: Node }
  | { readonly kind: 'get'; readonly name: string; readonly fallback: Node | undefined }
  | {
      readonly kind: 'set';
      readonly name: string;
      readonly value: Node;
      readonly isOnce: boolean;
      readonly keeps: boolean;
    }
  | {
      readonly kind: 'choice';
      readonly options: readonly { readonly value: Node; readonly weight: number }[];
      readonly least: number;
      readonly most: number;
      readonly separator: string;
    };

/** How deep choices and files may lie in one another, and how long a prompt may become. */
const [deepest, longest, mostOptions] = [64, 100_000, 10_000];

function refuse(message: string): never {
  throw new StableDiffusionError('invalid-argument', message);
}

/** Comments of dynamic prompts: from `#` or `//` to the end of the line, and between slashes and stars. */
function withoutComments(text: string): string {
  let out = '';
  for (let i = 0; i < text.length; ) {
    const two = text.slice(i, i + 2);
    if (text[i] === '#' || two === '//') {
      const end = text.indexOf('\n', i);
      i = end < 0 ? text.length : end;
      out = withoutEnd(out, (character) => character === ' ' || character === '\t');
    } else if (two === '/*' && text.indexOf('*/', i + 2) >= 0) i = text.indexOf('*/', i + 2) + 2;
    else out += text[i++];
  }
  return out;
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  #starts(mark: string): boolean {
    return this.#text.startsWith(mark, this.#at);
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text) ?? undefined;
    if (found) this.#at += found[0].length;
    return found;
  }

  #fail(expected: string): never {
    const near = this.#text.slice(this.#at, this.#at + 20);
    return refuse(
      `The dynamic prompt cannot be read${near === '' ? ' at its end' : ` at ${JSON.stringify(near)}`}: ${expected}.`,
    );
  }

  prompt(depth = 0, ends = ''): Node {
    if (depth > deepest) refuse(`A dynamic prompt may be ${deepest} choices deep.`);
    const parts: Node[] = [];
    let text = '';
    const flush = (): void => {
      if (text !== '') parts.push({ kind: 'text', text });
      text = '';
    };
    while (this.#at < this.#text.length && !ends.includes(this.#text[this.#at] as string)) {
      const node = this.#special(depth);
      if (node) {
        flush();
        parts.push(node);
      } else text += this.#text[this.#at++];
    }
    flush();
    return parts.length === 1 ? (parts[0] as Node) : { kind: 'sequence', parts };
  }

  #special(depth: number): Node | undefined {
    if (this.#starts('%{')) this.#fail('wrapping with %{ is not supported');
    if (this.#starts('${')) return this.#variable(depth);
    if (this.#starts('{')) return this.#choice(depth);
    if (this.#starts('__')) return this.#wildcard(depth);
    if (this.#text[this.#at] === '}') this.#fail('a } without its {');
    return undefined;
  }

  #variable(depth: number): Node {
    this.#at += 2;
    const name = this.#match(/\s*([A-Za-z_-][A-Za-z0-9_-]*)\s*/y)?.[1] ?? this.#fail('a name was expected after ${');
    const mark = this.#match(/(\?)?=(!)?\s*|:\s*/y);
    const value = mark ? this.prompt(depth + 1, '}') : undefined;
    if (!this.#match(/\}/y)) this.#fail('the } of a variable is missing');
    if (!mark || !value || mark[0].startsWith(':')) return { kind: 'get', name, fallback: value };
    return { kind: 'set', name, value, isOnce: mark[2] === '!', keeps: mark[1] === '?' };
  }

  #wildcard(depth: number): Node | undefined {
    const end = this.#text.indexOf('__', this.#at + 2);
    const inside = end < 0 ? '' : this.#text.slice(this.#at + 2, end);
    if (inside === '' || /[(){}#\n|]/.test(inside.replaceAll(/\$\{[^{}]*\}/g, ''))) return undefined;
    if (/^[!@]/.test(inside)) this.#fail('only random choices are supported, not ! and @');
    this.#at = end + 2;
    return { kind: 'wildcard', path: new Parser(inside.replace(/^~/, '')).prompt(depth + 1) };
  }

  /** `2$$`, `1-3$$`, `2-$$, `-3$$`, each perhaps with a separator and `$$`. */
  #bounds(): { readonly least: number; readonly most: number; readonly separator: string } | undefined {
    const found = this.#match(/\s*(\d{1,6})?(-)?(\d{1,6})?\$\$(?:([^${}]+)\$\$)?/y);
    if (!found) return undefined;
    const [, low, hyphen, high, separator = ','] = found;
    if (low === undefined && high === undefined) this.#fail('a number of choices was expected before $$');
    if (!hyphen) return { least: Number(low), most: Number(low), separator };
    return {
      least: low === undefined ? 1 : Number(low),
      most: high === undefined ? Number.POSITIVE_INFINITY : Number(high),
      separator,
    };
  }

  #choice(depth: number): Node {
    this.#at++;
    this.#match(/\s*~/y);
    if (this.#match(/\s*[!@]/y)) this.#fail('only random choices are supported, not ! and @');
    const bounds = this.#bounds() ?? { least: 1, most: 1, separator: ',' };
    const options: { value: Node; weight: number }[] = [];
    do {
      if (options.length >= mostOptions) refuse(`A choice has at most ${mostOptions} options.`);
      this.#match(/\s+/y);
      const weight = this.#match(/(\d+(?:\.\d*)?|\.\d+)::/y);
      options.push({ weight: weight ? Number(weight[1]) : 1, value: this.prompt(depth + 1, '|}') });
    } while (this.#match(/\|/y));
    if (!this.#match(/\}/y)) this.#fail('the } of a choice is missing');
    return { kind: 'choice', options, ...bounds };
  }
}

/** Python's `random.choices(…, k=1)`: the place of one of some weights. */
function weighted(weights: readonly number[], random: PythonRandom): number {
  const sums: number[] = [];
  let sum = 0;
  for (const weight of weights) {
    sum += weight;
    sums.push(sum);
  }
  if (!(sum > 0)) refuse('The weights of a choice must not all be 0.');
  const drawn = random.random() * sum;
  const place = sums.findIndex((one) => one > drawn);
  return place < 0 ? weights.length - 1 : place;
}

interface Scope {
  readonly random: PythonRandom;
  readonly wildcards: Wildcards;
  readonly variables: ReadonlyMap<string, Node>;
  readonly sampled: ReadonlySet<string>;
  readonly depth: number;
  /** Parts that may still be sampled. */
  readonly budget: { left: number };
}

/** Joins as dynamic prompts do: a separator at an end, of an empty choice, goes. */
function joined(texts: readonly string[], separator: string): string {
  if (texts.length === 1) return texts[0] as string;
  let text = texts.join(separator);
  if (text.length > longest) refuse(`The prompt would have more than ${longest} characters.`);
  if (separator === '') return text;
  if (text.startsWith(separator)) text = text.slice(separator.length);
  return text.endsWith(separator) ? text.slice(0, -separator.length) : text;
}

type Choice = Extract<Node, { readonly kind: 'choice' }>;

function sampleChoice({ options, least, most, separator }: Choice, scope: Scope): string {
  const [only] = options;
  if (options.length === 1 && only?.value.kind === 'wildcard') {
    const values = scope.wildcards(sample(only.value.path, scope));
    const lines = values.map((line) => ({ value: parsed(line), weight: 1 }));
    if (lines.length === 0) return '';
    const choice: Choice = {
      kind: 'choice',
      options: lines,
      least: Math.min(least, lines.length),
      most: Math.min(most, lines.length),
      separator,
    };
    return sampleChoice(choice, scope);
  }
  if (options.length === 1 && only) return sample(only.value, scope);
  const [low, high] = [Math.min(least, most), Math.max(least, most)].map((one) => Math.min(one, options.length)) as [
    number,
    number,
  ];
  const count = scope.random.randint(low, high);
  const left = [...options];
  const chosen: Node[] = [];
  for (let i = 0; i < count; i++) {
    const [option] = left.splice(
      weighted(
        left.map(({ weight }) => weight),
        scope.random,
      ),
      1,
    );
    if (option) chosen.push(option.value);
  }
  return joined(
    chosen.map((node) => sample(node, scope)),
    separator,
  );
}

function sampleWildcard(path: string, scope: Scope): string {
  const values = scope.wildcards(path);
  if (values.length === 0) return `__${path}__`;
  // `random.choice`.
  const line = values[scope.random.randint(0, values.length - 1)] ?? '';
  return sample(parsed(line), scope);
}

/** The variables that a sequence sets, and its other parts. */
function withVariables(parts: readonly Node[], scope: Scope): Scope {
  const variables = new Map(scope.variables);
  for (const part of parts) {
    if (part.kind !== 'set' || (part.keeps && variables.has(part.name))) continue;
    const value: Node = part.isOnce ? { kind: 'text', text: sample(part.value, scope) } : part.value;
    variables.set(part.name, value);
  }
  return { ...scope, variables };
}

function sample(node: Node, given: Scope): string {
  const scope = { ...given, depth: given.depth + 1 };
  if (scope.budget.left-- <= 0) refuse(`A dynamic prompt has at most ${longest} parts.`);
  if (scope.depth > 4 * deepest) refuse('The files of a dynamic prompt name one another without an end.');
  switch (node.kind) {
    case 'text':
      return node.text;
    case 'sequence': {
      const own = withVariables(node.parts, scope);
      return joined(
        node.parts.filter(({ kind }) => kind !== 'set').map((part) => sample(part, own)),
        '',
      );
    }
    case 'set':
      return '';
    case 'choice':
      return sampleChoice(node, scope);
    case 'wildcard':
      return sampleWildcard(sample(node.path, scope), scope);
    case 'get': {
      if (scope.sampled.has(node.name)) refuse(`The variable ${node.name} of a dynamic prompt contains itself.`);
      const value = scope.variables.get(node.name) ?? node.fallback;
      if (!value) refuse(`The variable ${node.name} of a dynamic prompt has no value.`);
      return sample(value, { ...scope, sampled: new Set([...scope.sampled, node.name]) });
    }
  }
}

const parsed = (text: string): Node => new Parser(withoutComments(text)).prompt();

/**
 * A prompt from a template: every choice is made. The same seed gives the same prompt, and the one of sd-dynamic-prompts.
 * @throws `invalid-argument` for a template that cannot be read
 */
export function resolveDynamicPrompt(template: string, seed: Seed, wildcards: Wildcards = () => []): string {
  const scope = {
    random: new PythonRandom(seed),
    wildcards,
    variables: new Map(),
    sampled: new Set<string>(),
    depth: 0,
    budget: { left: longest },
  };
  return joined([sample(parsed(template), scope)], '');
}
