/**
 * The text of HTML, as Python's `BeautifulSoup(markup, features="html.parser").text` gives it: tags, comments and declarations go, references
 * become characters, and the content of scripts, styles, templates and ruby annotations is left out. What is no markup stays as text.
 */

import { decodeByte, WINDOWS_1252 } from './code-pages.ts';
import { characterOfName } from './html-entities.ts';

const attribute = String.raw`[^\s/>][^\s/=>]*(?:\s*=+\s*(?:'[^']*'|"[^"]*"|(?!['"])[^>\s]*))?`;
/** A start tag up to its end, tolerant of what stands between attributes. */
const startTag = new RegExp(
  String.raw`<[a-zA-Z][^\t\n\r\f />\0]*(?:[\s/]*(?:(?<=['"\s/])${attribute}\s*(?:\s|/(?!>))*)*)?\s*`,
  'y',
);
const tagName = /([a-zA-Z][^\t\n\r\f />\0]*)(?:\s|\/(?!>))*/y;
const nextAttribute = new RegExp(String.raw`(?<=['"\s/])${attribute}(?:\s|/(?!>))*`, 'y');
const endTag = /<\/\s*([a-zA-Z][-.a-zA-Z0-9:_]*)\s*>/y;
const numeric = /&#([0-9]+|[xX][0-9a-fA-F]+)[^0-9a-fA-F]/y;
const named = /&([a-zA-Z][-.a-zA-Z0-9]*)[^a-zA-Z0-9]/y;

/** Tags without content. */
const empty = new Set(
  (
    'area base br col embed hr img input keygen link menuitem meta param source track wbr ' +
    'basefont bgsound command frame image isindex nextid spacer'
  ).split(' '),
);
/** Tags whose content is no text of the page. */
const unread = new Set(['rt', 'rp', 'style', 'script', 'template']);
/** Those in which nothing is markup. */
const raw = new Set(['script', 'style']);

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** Windows-1252 below 256, as pages often mean it. */
function characterOf(reference: string): string {
  const code = /^x/i.test(reference) ? Number.parseInt(reference.slice(1), 16) : Number(reference);
  const replacement = '\ufffd';
  if (code < 256) return decodeByte(WINDOWS_1252, code) || replacement;
  return code > 0x10ffff ? replacement : String.fromCodePoint(code);
}

/** Reads one text; the position moves on. */
class Reader {
  readonly #markup: string;
  readonly #open: string[] = [];
  #text = '';
  #at = 0;
  #isOver = false;

  constructor(markup: string) {
    this.#markup = markup;
  }

  #data(text: string): void {
    if (!this.#open.some((name) => unread.has(name))) this.#text += text;
  }

  #close(name: string): void {
    const index = this.#open.lastIndexOf(name);
    if (index >= 0) this.#open.length = index;
  }

  /** Behind the text `end`, or -1. */
  #behind(end: string, from: number): number {
    const found = this.#markup.indexOf(end, from);
    return found < 0 ? -1 : found + end.length;
  }

  #behindMatch(end: RegExp, from: number): number {
    const found = matchAt(end, this.#markup, from);
    return found ? found.index + found[0].length : -1;
  }

  /** Where a start tag ends; -1 where the text ends in it. */
  #endOfStart(at: number): number {
    const found = matchAt(startTag, this.#markup, at);
    const end = at + (found?.[0].length ?? 0);
    const next = this.#markup[end] ?? '';
    if (next === '>') return end + 1;
    if (this.#markup.startsWith('/>', end)) return end + 2;
    return next === '' || /[a-zA-Z=/]/.test(next) ? -1 : Math.max(end, at + 1);
  }

  #start(at: number): number {
    const end = this.#endOfStart(at);
    if (end < 0) return -1;
    const found = matchAt(tagName, this.#markup, at + 1) as RegExpExecArray;
    const name = (found[1] as string).toLowerCase();
    let rest = at + 1 + found[0].length;
    for (
      let more = matchAt(nextAttribute, this.#markup, rest);
      more && rest < end;
      more = matchAt(nextAttribute, this.#markup, rest)
    )
      rest += more[0].length;
    const close = this.#markup.slice(rest, end).trim();
    if (close !== '>' && close !== '/>') {
      this.#data(this.#markup.slice(at, end));
      return end;
    }
    if (close === '/>' || empty.has(name)) return end;
    this.#open.push(name);
    if (!raw.has(name)) return end;
    const closing = new RegExp(String.raw`</\s*${name}\s*>`, 'ig');
    closing.lastIndex = end;
    const closed = closing.exec(this.#markup);
    if (!closed) this.#isOver = true;
    return closed?.index ?? this.#markup.length;
  }

  #end(at: number): number {
    const close = this.#behind('>', at + 1);
    if (close < 0) return -1;
    const whole = matchAt(endTag, this.#markup, at);
    if (whole) {
      this.#close((whole[1] as string).toLowerCase());
      return close;
    }
    const name = matchAt(tagName, this.#markup, at + 2);
    if (!name) return this.#markup.startsWith('</>', at) ? at + 3 : this.#behind('>', at + 2);
    this.#close((name[1] as string).toLowerCase());
    return this.#markup.indexOf('>', at + 2 + name[0].length) + 1;
  }

  /** `<!…`: a comment, a section, a declaration. */
  #declaration(at: number): number {
    if (this.#markup.startsWith('<!--', at)) return this.#behindMatch(/--\s*>/g, at + 4);
    if (!this.#markup.startsWith('<![', at)) return this.#behind('>', at + 2);
    const isCondition = /^<!\[\s*(if|else|endif)\b/i.test(this.#markup.slice(at, at + 40));
    const end = this.#behindMatch(isCondition ? /\]\s*>/g : /\]\s*\]\s*>/g, at + 3);
    const section = end < 0 ? null : /^<!\[cdata\[([\s\S]*?)\]\s*\]\s*>$/i.exec(this.#markup.slice(at, end));
    if (section) this.#data(section[1] as string);
    return end;
  }

  /** Markup at `<`: where it ends, -1 where it does not. Undefined where the rest waits for more. */
  #markupAt(at: number): number | undefined {
    const next = this.#markup[at + 1] ?? '';
    if (/[a-zA-Z]/.test(next)) return this.#start(at);
    if (next === '/') return this.#end(at);
    if (next === '?') return this.#behind('>', at + 2);
    if (next === '!') return this.#declaration(at);
    if (next === '') return undefined;
    this.#data('<');
    return at + 1;
  }

  /** A reference at `&`. Undefined where the rest waits for more. */
  #referenceAt(at: number): number | undefined {
    const isNumber = this.#markup.startsWith('&#', at);
    const found = matchAt(isNumber ? numeric : named, this.#markup, at);
    if (found) {
      const [whole, name = ''] = found;
      this.#data(isNumber ? characterOf(name) : (characterOfName(name) ?? `&${name}`));
      return at + whole.length - (whole.endsWith(';') ? 0 : 1);
    }
    if (isNumber) {
      if (this.#markup.includes(';', at)) {
        this.#data('&#');
        this.#at = at + 2;
      }
      return undefined;
    }
    if (/^[a-zA-Z]/.test(this.#markup.slice(at + 1)) || at + 1 >= this.#markup.length) return undefined;
    this.#data('&');
    return at + 1;
  }

  /** One pass from where the last one stopped. In the last one, what does not end is text. */
  #pass(isLast: boolean): void {
    const { length } = this.#markup;
    while (this.#at < length && !this.#isOver) {
      const next = /[&<]/.exec(this.#markup.slice(this.#at))?.index ?? length - this.#at;
      if (next > 0) this.#data(this.#markup.slice(this.#at, this.#at + next));
      this.#at += next;
      if (this.#at === length) return;
      const isTag = this.#markup[this.#at] === '<';
      let end = isTag ? this.#markupAt(this.#at) : this.#referenceAt(this.#at);
      if (end === undefined || (end < 0 && !isLast)) break;
      if (end < 0) {
        end = this.#behind('>', this.#at + 1);
        if (end < 0) end = this.#markup.indexOf('<', this.#at + 1);
        if (end < 0) end = this.#at + 1;
        this.#data(this.#markup.slice(this.#at, end));
      }
      this.#at = end;
    }
    if (isLast && !this.#isOver) this.#data(this.#markup.slice(this.#at));
  }

  text(): string {
    this.#pass(false);
    this.#pass(true);
    return this.#text;
  }
}

/** The text of a piece of HTML. Never throws. */
export function htmlText(markup: string): string {
  return /[&<]/.test(markup) ? new Reader(markup).text() : markup;
}
