/**
 * JsonCursor: a pull reader of JSON text, as strict as RFC 8259 and serde_json, for headers that untrusted files carry.
 *
 * `JSON.parse` will not do there: it keeps the last of two equal keys, rounds integers above 2^53, takes `1.0` for `1` and accepts
 * lone surrogates. This one reads the needed values and skips the rest without building them.
 */

/** The error of a cursor; its caller turns it into a `StableDiffusionError` that names the file. */
export class JsonSyntaxError extends Error {}

/** The last three are Python's, which RFC 8259 does not have. */
export type JsonWord = 'null' | 'true' | 'false' | 'NaN' | 'Infinity' | '-Infinity';

export interface JsonCursor {
  /** Calls `member` for every key, with the cursor at its value, which `member` must read or skip. Equal keys are an error. */
  object(member: (key: string) => void): void;
  array(element: () => void): void;
  string(): string;
  /** A whole number without fraction or exponent. */
  integer(): bigint;
  /** The text of a number. */
  number(): string;
  /** True, and past it, if the value is this word. */
  word(value: JsonWord): boolean;
  /** The next character that is not white space; empty at the end. */
  peek(): string;
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
  return new TextCursor(text);
}

class TextCursor implements JsonCursor {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  object(member: (key: string) => void): void {
    const seen = new Set<string>();
    this.#nested('{', '}', 'an object', () => {
      const key = this.string();
      if (seen.has(key)) throw new JsonSyntaxError(`the key ${JSON.stringify(key)} appears twice`);
      seen.add(key);
      this.#expect(':');
      member(key);
    });
  }

  array(element: () => void): void {
    this.#nested('[', ']', 'an array', element);
  }

  string(): string {
    this.#expect('"', 'a string');
    let value = '';
    for (;;) {
      const from = this.#at;
      while (this.#at < this.#text.length && isPlain(this.#text.charCodeAt(this.#at))) this.#at++;
      value += this.#text.slice(from, this.#at);
      const character = this.#text.charAt(this.#at);
      if (character !== '"' && character !== '\\') this.#fail('the end of a string');
      this.#at++;
      if (character === '"') return value;
      value += this.#escaped();
    }
  }

  integer(): bigint {
    const start = this.#at;
    const digits = this.number();
    if (!/^(?:0|-?[1-9][0-9]*)$/.test(digits) || digits.length > 40) {
      this.#at = start;
      this.#fail('a whole number');
    }
    return BigInt(digits);
  }

  skipNull(): boolean {
    return this.word('null');
  }

  skip(): void {
    const next = this.peek();
    if (next === '{') this.object(() => this.skip());
    else if (next === '[') this.array(() => this.skip());
    else if (next === '"') this.string();
    else if (!this.word('true') && !this.word('false') && !this.word('null')) this.number();
  }

  end(): void {
    if (this.peek() !== '') this.#fail('the end');
  }

  #fail(expected: string): never {
    const { length } = this.#text;
    const found = this.#at < length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 12)) : 'the end of the text';
    throw new JsonSyntaxError(`${expected} was expected at character ${this.#at}, and ${found} was found`);
  }

  peek(): string {
    while (this.#at < this.#text.length && ' \t\n\r'.includes(this.#text.charAt(this.#at))) this.#at++;
    return this.#text.charAt(this.#at);
  }

  #expect(character: string, what = `"${character}"`): void {
    if (this.peek() !== character) this.#fail(what);
    this.#at++;
  }

  #nested(open: string, close: string, what: string, item: () => void): void {
    this.#expect(open, what);
    if (++this.#depth > maximumDepth) throw new JsonSyntaxError(`it is nested more than ${maximumDepth} deep`);
    if (this.peek() === close) this.#at++;
    else {
      for (;;) {
        item();
        const next = this.peek();
        if (next !== ',' && next !== close) this.#fail(`"," or "${close}"`);
        this.#at++;
        if (next === close) break;
      }
    }
    this.#depth--;
  }

  #codeUnit(): number {
    const digits = this.#text.slice(this.#at, this.#at + 4);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.#fail('four hexadecimal digits');
    this.#at += 4;
    return Number.parseInt(digits, 16);
  }

  #escaped(): string {
    const character = this.#text.charAt(this.#at++);
    if (character !== 'u') return escapes.get(character) ?? this.#fail('an escape');
    const unit = this.#codeUnit();
    if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
    if (unit > 0xdbff || this.#text.slice(this.#at, this.#at + 2) !== '\\u') this.#halfPair();
    this.#at += 2;
    const low = this.#codeUnit();
    if (low < 0xdc00 || low > 0xdfff) this.#halfPair();
    return String.fromCharCode(unit, low);
  }

  #halfPair(): never {
    throw new JsonSyntaxError(`it has half of a surrogate pair at character ${this.#at}`);
  }

  number(): string {
    this.peek();
    numberPattern.lastIndex = this.#at;
    const digits = numberPattern.exec(this.#text)?.[0] ?? this.#fail('a number');
    this.#at += digits.length;
    return digits;
  }

  word(value: JsonWord): boolean {
    this.peek();
    if (!this.#text.startsWith(value, this.#at)) return false;
    this.#at += value.length;
    return true;
  }
}

/** Neither a control character, which strings may not hold, nor a quotation mark, nor a backslash. */
function isPlain(code: number): boolean {
  return code >= 0x20 && code !== 0x22 && code !== 0x5c;
}
