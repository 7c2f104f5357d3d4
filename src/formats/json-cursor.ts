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
/** Control characters, which strings may not hold. */
const control = /[\0-\x1f]/;
/** Half of a surrogate pair. */
const halfPair = /\p{Surrogate}/u;

/** The keys of one object. Most objects have few. */
class Keys {
  readonly #few: string[] = [];
  #many: Set<string> | undefined;

  /** False for a key that is there already. */
  add(key: string): boolean {
    if (this.#many ? this.#many.has(key) : this.#few.includes(key)) return false;
    if (this.#many) this.#many.add(key);
    else if (this.#few.push(key) > 8) this.#many = new Set(this.#few);
    return true;
  }
}

/** The place of the quotation mark that ends the string at `start`; the end of the text if there is none. */
function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start); at >= 0; at = text.indexOf('"', at + 1)) {
    // Each run of backslashes is counted once: by the quotation mark after it.
    let slashes = 0;
    while (at - 1 - slashes >= start && text.charCodeAt(at - 1 - slashes) === 0x5c) slashes++;
    if (slashes % 2 === 0) return at;
  }
  return text.length;
}

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
    const seen = new Keys();
    this.#nested('{', '}', 'an object', () => {
      const key = this.string();
      if (!seen.add(key)) throw new JsonSyntaxError(`the key ${JSON.stringify(key)} appears twice`);
      this.#expect(':');
      member(key);
    });
  }

  array(element: () => void): void {
    this.#nested('[', ']', 'an array', element);
  }

  string(): string {
    this.#expect('"', 'a string');
    const start = this.#at;
    const value = this.#unescaped(start);
    // Half of a surrogate pair is an error where it is an escape.
    if (value === undefined || halfPair.test(value)) this.#checkString(start);
    return value ?? '';
  }

  /** The string at `start`, past its quotation mark, by JavaScript's parser: one piece, however many escapes it has. */
  #unescaped(start: number): string | undefined {
    const end = endOfString(this.#text, start);
    const raw = this.#text.slice(start, end);
    this.#at = end + 1;
    if (end === this.#text.length) return undefined;
    if (!raw.includes('\\') && !control.test(raw)) return raw;
    try {
      return JSON.parse(`"${raw}"`) as string;
    } catch {
      return undefined;
    }
  }

  /** Throws with the place at which the string at `start` is none. */
  #checkString(start: number): void {
    this.#at = start;
    for (;;) {
      while (this.#at < this.#text.length && isPlain(this.#text.charCodeAt(this.#at))) this.#at++;
      const character = this.#text.charAt(this.#at);
      if (character !== '"' && character !== '\\') this.#fail('the end of a string');
      this.#at++;
      if (character === '"') return;
      this.#checkEscape();
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

  #checkEscape(): void {
    const character = this.#text.charAt(this.#at++);
    if (character !== 'u') {
      if (!'"\\/bfnrt'.includes(character) || character === '') this.#fail('an escape');
      return;
    }
    const unit = this.#codeUnit();
    if (unit < 0xd800 || unit > 0xdfff) return;
    if (unit > 0xdbff || this.#text.slice(this.#at, this.#at + 2) !== '\\u') this.#halfPair();
    this.#at += 2;
    const low = this.#codeUnit();
    if (low < 0xdc00 || low > 0xdfff) this.#halfPair();
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
