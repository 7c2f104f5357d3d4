/**
 * `npm run patterns`: every regular expression of the program takes linear time, so that no text of a stranger stops it. Literals are found
 * in the sources, expressions built at run time by recording them as the modules are loaded and the functions that build more are called.
 * The judge is recheck. Exits 1 for a vulnerable or undecided expression that is not on the list below with its reason.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSync } from 'oxc-parser';
import { check } from 'recheck';

const root = join(import.meta.dirname, '..');

/** Expressions that recheck cannot decide or that are slow on purpose, with the reason why they do no harm. */
const excused: Readonly<Record<string, string>> = {
  '\\p{M}{2049}': 'a fixed number of characters: each place is looked at 2049 times at most',
  '\\P{M}+\\p{M}{0,2048}|\\p{M}{1,2048}': 'the two alternatives begin with different characters',
  '"[^"\\\\]*(?:\\\\.[^"\\\\]*)*"|-?\\b(?:NaN|Infinity)\\b':
    'the unrolled loop of a quoted string; each character has one way to match',
  '^(.+)\\.lora_magnitude_vector(?:\\.[^.]+)?(?:\\.weight)?$': 'names of tensors, bounded by the header of the file',
};

/** Files whose expressions are those of an original, and only see short texts. */
const excusedFiles: Readonly<Record<string, string>> = {
  'src/tokenizer/clean-caption.ts': 'texts of at most 16,384 characters, which take less than a second',
  'src/workflow/nodes/custom/ip-adapter.ts': 'names of files in the model folders, which are short',
};

/** Functions that build expressions when they are called: one call each. */
const builders: Readonly<Record<string, (module: Record<string, unknown>) => unknown>> = {
  'src/server/http/not-found.ts': ({ createNotFound }) =>
    (createNotFound as (routes: unknown) => unknown)([{ method: 'GET', path: '/api/v1/jobs/:id' }]),
  'src/prompt/words.ts': ({ splitAtWord }) =>
    (splitAtWord as (text: string, word: string) => unknown)('a AND b', 'AND'),
  'src/prompt/extra-networks.ts': ({ extraNetworks }) => (extraNetworks as (text: string) => unknown)('<lora:x:1>'),
};

/** Functions that cannot be called here, and what they build. */
const described: Readonly<Record<string, readonly string[]>> = {
  'src/engine/memory-folder-node.ts': ['^sd-weights-(\\d+)-(\\d*)-4026531836-'],
  'src/tokenizer/clip-placeholders.ts': ['(\\bcat-toy\\b|<cat>)', '^[\\p{L}\\p{N}_]', '[\\p{L}\\p{N}_]$'],
};

type Found = Map<string, Set<string>>;

const keyOf = (source: string, flags: string): string => JSON.stringify([source, flags]);

function note(found: Found, source: string, flags: string, where: string): void {
  const key = keyOf(source, flags);
  found.set(key, (found.get(key) ?? new Set()).add(where));
}

function* sourceFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* sourceFiles(path);
    else if (/\.tsx?$/.test(entry.name)) yield path;
  }
}

interface Node {
  readonly type?: string;
  readonly regex?: { readonly pattern: string; readonly flags: string };
  readonly callee?: { readonly name?: string };
}

/** Literals of a file, and whether it builds expressions at run time. */
function readLiterals(path: string, found: Found): boolean {
  let builds = false;
  const open: unknown[] = [parseSync(path, readFileSync(join(root, path), 'utf8')).program];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== 'object' || next === null) continue;
    const node = next as Node;
    if (node.type === 'Literal' && node.regex) note(found, node.regex.pattern, node.regex.flags, path);
    if (node.type === 'NewExpression' && node.callee?.name === 'RegExp') builds = true;
    open.push(...Object.values(next));
  }
  return builds;
}

/** Records what is built while a module is loaded, with those that it loads, and while its builder is called. */
async function recordBuilt(paths: readonly string[], found: Found): Promise<void> {
  const Native = RegExp;
  let built: RegExp[] = [];
  globalThis.RegExp = new Proxy(Native, {
    construct(target, given) {
      const made = Reflect.construct(target, given) as RegExp;
      built.push(made);
      return made;
    },
  });
  try {
    for (const path of paths) {
      built = [];
      const known = described[path];
      for (const source of known ?? []) note(found, source, 'giu', path);
      if (known) continue;
      const module = (await import(join(root, path))) as Record<string, unknown>;
      builders[path]?.(module);
      for (const { source, flags } of built) note(found, source, flags, path);
    }
  } finally {
    globalThis.RegExp = Native;
  }
}

const found: Found = new Map();
const building: string[] = [];
for (const folder of ['src', 'web/src']) {
  for (const path of sourceFiles(folder)) if (readLiterals(path, found)) building.push(path);
}
await recordBuilt(building, found);

let failed = false;
const fail = (text: string): void => {
  failed = true;
  console.error(text);
};
const unused = new Set(Object.keys(excused));
for (const [key, places] of found) {
  const [source, flags] = JSON.parse(key) as [string, string];
  const excuse = excused[source];
  unused.delete(source);
  if (excuse !== undefined || [...places].every((path) => path in excusedFiles)) continue;
  const verdict = await check(source, flags, { timeout: 60_000 });
  if (verdict.status === 'safe') continue;
  const how = verdict.status === 'vulnerable' ? verdict.complexity.summary : 'undecided';
  fail(`/${source}/${flags} takes more than linear time (${how}): ${[...places].join(', ')}`);
}
for (const source of unused) fail(`/${source}/ is excused and not found any more.`);
console.log(`patterns: ${found.size} regular expressions, ${Object.keys(excused).length} of them excused`);
process.exit(failed ? 1 : 0);
