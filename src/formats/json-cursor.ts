/**
 * JsonCursor: a pull reader of JSON text, as strict as RFC 8259 and serde_json, for headers that untrusted files carry.
 *
 * `JSON.parse` will not do there: it keeps the last of two equal keys, rounds integers above 2^53, takes `1.0` for `1` and accepts
 * lone surrogates. This one reads the needed values and skips the rest without building them.
 */

/** The error of a cursor; its caller turns it into a `StableDiffusionError` that names the file. */
export class JsonSyntaxError extends Error {}

export interface JsonCursor {
  /** Calls `member` for every key, with the cursor at its value, which `member` must read or skip. Equal keys are an error. */
  object(member: (key: string) => void): void;
  array(element: () => void): void;
  string(): string;
  /** A whole number without fraction or exponent. */
  integer(): bigint;
  /** True, and past it, if the value is `null`. */
  skipNull(): boolean;
  skip(): void;
  /** Throws unless only white space is left. */
  end(): void;
}

const maximumDepth = 128;
const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const escapes: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

export function jsonCursor(text: string): JsonCursor {
  let at = 0;
  let depth = 0;

  function fail(expected: string): never {
    const found = at < text.length ? JSON.stringify(text.slice(at, at + 12)) : 'the end of the text';
    throw new JsonSyntaxError(`${expected} was expected at character ${at}, and ${found} was found`);
  }

  function peek(): string {
    while (at < text.length && ' \t\n\r'.includes(text.charAt(at))) at++;
    return text.charAt(at);
  }

  function expect(character: string, what = `"${character}"`): void {
    if (peek() !== character) fail(what);
    at++;
  }

  function nested(open: string, close: string, what: string, item: () => void): void {
    expect(open, what);
    if (++depth > maximumDepth) throw new JsonSyntaxError(`it is nested more than ${maximumDepth} deep`);
    if (peek() === close) at++;
    else {
      for (;;) {
        item();
        const next = peek();
        if (next !== ',' && next !== close) fail(`"," or "${close}"`);
        at++;
        if (next === close) break;
      }
    }
    depth--;
  }

  function codeUnit(): number {
    const digits = text.slice(at, at + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) fail('four hexadecimal digits');
    at += 4;
    return Number.parseInt(digits, 16);
  }

  function escaped(): string {
    const character = text.charAt(at++);
    if (character !== 'u') return escapes.get(character) ?? fail('an escape');
    const unit = codeUnit();
    if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
    if (unit > 0xdbff || text.slice(at, at + 2) !== '\\u')
      throw new JsonSyntaxError(`it has half of a surrogate pair at character ${at}`);
    at += 2;
    const low = codeUnit();
    if (low < 0xdc00 || low > 0xdfff) throw new JsonSyntaxError(`it has half of a surrogate pair at character ${at}`);
    return String.fromCharCode(unit, low);
  }

  function string(): string {
    expect('"', 'a string');
    let value = '';
    for (;;) {
      const from = at;
      while (at < text.length && isPlain(text.charCodeAt(at))) at++;
      value += text.slice(from, at);
      const character = text.charAt(at);
      if (character !== '"' && character !== '\\') fail('the end of a string');
      at++;
      if (character === '"') return value;
      value += escaped();
    }
  }

  function number(): string {
    peek();
    numberPattern.lastIndex = at;
    const digits = numberPattern.exec(text)?.[0] ?? fail('a number');
    at += digits.length;
    return digits;
  }

  function word(value: string): boolean {
    peek();
    if (!text.startsWith(value, at)) return false;
    at += value.length;
    return true;
  }

  function object(member: (key: string) => void): void {
    const seen = new Set<string>();
    nested('{', '}', 'an object', () => {
      const key = string();
      if (seen.has(key)) throw new JsonSyntaxError(`the key ${JSON.stringify(key)} appears twice`);
      seen.add(key);
      expect(':');
      member(key);
    });
  }

  function skip(): void {
    const next = peek();
    if (next === '{') object(skip);
    else if (next === '[') nested('[', ']', 'an array', skip);
    else if (next === '"') string();
    else if (!word('true') && !word('false') && !word('null')) number();
  }

  return {
    object,
    array: (element) => nested('[', ']', 'an array', element),
    string,
    integer() {
      const start = at;
      const digits = number();
      if (!/^(?:0|-?[1-9][0-9]*)$/.test(digits) || digits.length > 40) {
        at = start;
        fail('a whole number');
      }
      return BigInt(digits);
    },
    skipNull: () => word('null'),
    skip,
    end() {
      if (peek() !== '') fail('the end');
    },
  };
}

/** Neither a control character, which strings may not hold, nor a quotation mark, nor a backslash. */
function isPlain(code: number): boolean {
  return code >= 0x20 && code !== 0x22 && code !== 0x5c;
}
