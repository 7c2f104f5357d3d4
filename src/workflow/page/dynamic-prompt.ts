/** Texts with choices, `a {red|green} door`, as ComfyUI's page sends them: comments are left out, and one of each list of choices is taken. */

/** Braces inside braces; deeper ones stay as they are. */
const deepest = 50;

/** The choices of the braces that begin at `start`, and where the text goes on behind them. */
function choicesAt(text: string, start: number): { readonly choices: readonly string[]; readonly end: number } {
  const choices: string[] = [];
  let [choice, depth, i] = ['', 0, start];
  for (; i < text.length; i++) {
    const character = text[i] as string;
    if (character === '\\') {
      choice += character + (text[++i] ?? '');
      continue;
    }
    if (character === '}' && depth === 0) break;
    if (character === '|' && depth === 0) {
      choices.push(choice);
      choice = '';
      continue;
    }
    depth += character === '{' ? 1 : character === '}' ? -1 : 0;
    choice += character;
  }
  return { choices: [...choices, choice], end: i + 1 };
}

function chosen(text: string, random: () => number, depth: number): string {
  if (depth > deepest) return text;
  let result = '';
  for (let i = 0; i < text.length; ) {
    const character = text[i] as string;
    if (character === '\\') {
      result += character + (text[i + 1] ?? '');
      i += 2;
    } else if (character === '{') {
      const { choices, end } = choicesAt(text, i + 1);
      result += chosen(choices[Math.floor(random() * choices.length)] ?? '', random, depth + 1);
      i = end;
    } else {
      result += character;
      i += 1;
    }
  }
  return result;
}

/** A comment that is not closed is text. */
function withoutComments(text: string): string {
  const lastClose = text.lastIndexOf('*/');
  let bare = '';
  let from = 0;
  let at = 0;
  for (let slash = text.indexOf('/'); slash >= 0; slash = text.indexOf('/', at)) {
    at = slash + 1;
    const isBlock = text[at] === '*' && slash + 2 <= lastClose;
    if (!isBlock && text[at] !== '/') continue;
    bare += text.slice(from, slash);
    at = isBlock ? text.indexOf('*/', slash + 2) + 2 : endOfLine(text, slash);
    from = at;
  }
  return bare + text.slice(from);
}

/** Where a dot of a regular expression stops. */
function endOfLine(text: string, from: number): number {
  let at = from;
  while (at < text.length && !/[\n\r\u2028\u2029]/.test(text.charAt(at))) at++;
  return at;
}

/** `random` gives numbers from 0 up to 1. */
export function chosenText(text: string, random: () => number): string {
  return chosen(withoutComments(text), random, 0).replace(/\\([{}|])/g, '$1');
}
